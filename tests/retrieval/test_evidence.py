"""Counts of what follows what, and the linear layer over them."""

from __future__ import annotations

import json

import numpy as np
import pytest

from llmrec.retrieval.evidence import _STEPS_AFTER, FEATURES, Evidence, fit_weights, level_shift, text_weights

ITEMS = tuple("vwxyz")
NO_TEXT = np.zeros(2)


@pytest.fixture
def evidence() -> Evidence:
    return Evidence.of(ITEMS, [np.array([0, 1, 2, 3, 4, 0]), np.array([2])])


def test_what_follows_is_a_share_of_all_that_comes_soon_after(evidence: Evidence) -> None:
    shares = evidence.preceded.toarray()
    assert shares[:, 0].tolist() == pytest.approx([0, *(np.array(_STEPS_AFTER) / (sum(_STEPS_AFTER) + 20))])
    assert shares[:, 4].tolist() == pytest.approx([1 / 21, 0, 0, 0, 0])
    assert evidence.counts.tolist() == [2, 1, 2, 1, 1]


def test_features_follow_the_newest_events_most(evidence: Evidence) -> None:
    found = evidence.features(np.array([4, 0]), np.array([1, 0]), np.array([0.5, 0.1]))
    assert found.shape == (2, len(FEATURES))
    shares = evidence.preceded.toarray()
    for column, half_life in enumerate((1.0, 4.0)):
        older = 0.5 ** (1 / half_life)
        expected = [np.log(shares[row, 0] + older * shares[row, 4] + 1e-4) for row in (1, 0)]
        assert found[:, column].tolist() == pytest.approx(expected)
    assert found[:, 2].tolist() == pytest.approx([np.log(2), np.log(3)])
    assert found[:, 3].tolist() == [0.5, 0.1]


def test_an_item_that_came_later_has_nothing_but_its_text(evidence: Evidence) -> None:
    (found,) = evidence.features(np.array([0]), np.array([-1]), np.array([0.7]))
    assert found.tolist() == pytest.approx([np.log(1e-4), np.log(1e-4), 0, 0.7])


def test_without_weights_the_encoders_score_stays(evidence: Evidence) -> None:
    features = evidence.features(np.array([0]), np.array([1, 2]), NO_TEXT)
    assert evidence.rescored(np.array([-1.0, -2.0]), features).tolist() == [-1.0, -2.0]


def test_it_is_kept_whole(evidence: Evidence) -> None:
    weighed = evidence.weighed(np.arange(5.0), 0.5)
    parts = weighed.to_parts()
    again = Evidence.from_parts(parts["evidence.safetensors"], json.loads(json.dumps(parts["evidence.json"])))  # type: ignore[arg-type]
    asked = (np.array([0, 3]), np.array([1, 4]), NO_TEXT)
    np.testing.assert_allclose(again.features(*asked), weighed.features(*asked), rtol=1e-6)
    assert again.weights.tolist() == [0, 1, 2, 3, 4]
    assert again.shift == 0.5
    assert again.item_ids == ITEMS


def test_nothing_can_be_counted_too() -> None:
    nothing = Evidence.of(ITEMS, [])
    assert not nothing.preceded.nnz
    assert np.isfinite(nothing.features(np.array([0]), np.array([1, 2]), NO_TEXT)).all()


def test_weights_go_to_what_tells_the_target() -> None:
    generator = np.random.default_rng(0)
    features = generator.normal(size=(200, 8, 3))
    targets = features[:, :, 1].argmax(axis=1)
    features[:, 7, :] = 100.0  # holds no item
    listed = np.ones((200, 8), bool)
    listed[:, 7] = False
    targets = features[:, :7, 1].argmax(axis=1)
    weights = fit_weights(features, targets, listed)
    assert weights[1] > 10 * abs(weights[2])
    assert ((np.where(listed, features @ weights, -np.inf)).argmax(axis=1) == targets).mean() > 0.9


def test_without_lists_the_first_feature_counts_alone() -> None:
    assert fit_weights(np.zeros((0, 4, 3)), np.zeros(0, np.int64), np.zeros((0, 4), bool)).tolist() == [1, 0, 0]


def test_the_shift_keeps_the_level_of_the_scores() -> None:
    generator = np.random.default_rng(0)
    features, listed = generator.normal(size=(50, 6, 3)) - 4, np.arange(6) < np.full((50, 1), 5)
    weights = np.array([0.7, 1.3, -0.2])
    shift = level_shift(features, weights, listed)

    def level(scores: np.ndarray) -> float:
        return float(np.log(np.exp(scores[:, :5]).sum(axis=1)).mean())

    assert level(features @ weights + shift) == pytest.approx(level(features[:, :, 0]))
    assert level_shift(features[:0], weights, listed[:0]) == 0


def test_the_newest_texts_count_most() -> None:
    assert text_weights(4).tolist() == pytest.approx([0.5, 0.5 ** (2 / 3), 0.5 ** (1 / 3), 1.0])
