"""Counts of what follows what, and the linear layer over them."""

from __future__ import annotations

import json

import numpy as np
import pytest

from llmrec.errors import ReleaseError
from llmrec.retrieval import evidence as module
from llmrec.retrieval.evidence import (
    _STEPS_AFTER,
    FEATURES,
    NEAR_FEATURES,
    Evidence,
    fit_weights,
    level_shift,
    typical_features,
)

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
    assert found.tolist() == pytest.approx([*evidence.typical, 0.7])
    weighed = evidence.weighed(*lists_of(evidence))
    assert weighed.typical.tolist() != evidence.typical.tolist()
    (found,) = weighed.features(np.array([0]), np.array([-1]), np.array([0.7]))
    assert found.tolist() == pytest.approx([*weighed.typical, 0.7])


def test_an_event_on_a_later_item_ages_the_others(evidence: Evidence) -> None:
    alone, aged = (evidence.features(np.array(one), np.array([1]), np.zeros(1))[0] for one in ([0], [0, -1]))
    share = evidence.preceded.toarray()[1, 0]
    assert alone[0] == pytest.approx(np.log(share + 1e-4))
    assert aged[0] == pytest.approx(np.log(share / 2 + 1e-4))


def test_without_weights_the_encoders_score_stays(evidence: Evidence) -> None:
    features = evidence.features(np.array([0]), np.array([1, 2]), NO_TEXT)
    assert evidence.rescored(np.array([-1.0, -2.0]), features).tolist() == [-1.0, -2.0]


def lists_of(evidence: Evidence) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Two lists of two items, the first of which was taken."""
    features = evidence.features(np.array([0]), np.array([1, 3]), NO_TEXT)
    lists = np.stack([np.column_stack([[-1.0, -1.5], features])] * 2)
    return lists, np.array([0, 0]), np.ones((2, 2), bool)


def test_it_is_kept_whole(evidence: Evidence) -> None:
    weighed = evidence.weighed(*lists_of(evidence))
    parts = weighed.to_parts()
    again = Evidence.from_parts(parts["evidence.safetensors"], json.loads(json.dumps(parts["evidence.json"])))  # type: ignore[arg-type]
    asked = (np.array([0, 3]), np.array([1, 4]), NO_TEXT)
    np.testing.assert_allclose(again.features(*asked), weighed.features(*asked), rtol=1e-6)
    assert again.weights.tolist() == weighed.weights.tolist() != evidence.weights.tolist()
    assert again.typical.tolist() == weighed.typical.tolist()
    assert again.shift == weighed.shift != 0
    assert again.item_ids == ITEMS


def test_where_texts_propose_nearness_to_the_newest_item_counts_by_how_known_an_item_is() -> None:
    evidence = Evidence.of(ITEMS, [np.array([0, 1, 1, 1, 1, 1, 2])], text_share=0.1)
    assert evidence.names[4:] == NEAR_FEATURES
    near = np.array([0.5, 0.4, 0.3, 0.2])
    found = evidence.features(np.array([0]), np.array([1, 2, 3, -1]), np.zeros(4), near)
    assert found.shape == (4, 7)
    assert found[:, 4].tolist() == near.tolist()
    assert found[:, 5].tolist() == pytest.approx([0.5 * 1.6, 0.4 * np.log(2), 0, 0])
    assert found[:, 6].tolist() == [0, 0, 1, 1]
    assert len(evidence.weights) == 8
    parts = evidence.to_parts()
    again = Evidence.from_parts(parts["evidence.safetensors"], json.loads(json.dumps(parts["evidence.json"])))  # type: ignore[arg-type]
    assert (again.text_share, again.names) == (0.1, evidence.names)
    assert evidence.recounted([]).names == evidence.names


def test_evidence_from_before_texts_proposed_is_read(evidence: Evidence) -> None:
    parts = evidence.to_parts()
    about = dict(parts["evidence.json"])  # type: ignore[call-overload]
    del about["text_share"]
    assert Evidence.from_parts(parts["evidence.safetensors"], about).text_share == 0  # type: ignore[arg-type]


@pytest.mark.parametrize("damage", [{"features": ["other"]}, {"text_share": 0.1}, {"item_ids": None}, {}])
def test_evidence_of_another_version_is_refused_with_the_next_step(
    evidence: Evidence, damage: dict[str, object]
) -> None:
    parts = evidence.to_parts()
    about = {**parts["evidence.json"], **damage}  # type: ignore[dict-item]
    data = parts["evidence.safetensors"] if damage else b"no arrays"
    with pytest.raises(ReleaseError, match="another version") as caught:
        Evidence.from_parts(data, about)  # type: ignore[arg-type]
    assert "llmrec fit" in caught.value.hint


def test_of_very_many_predecessors_the_strongest_stay(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_KEPT", 2)
    kept = Evidence.of(ITEMS, [np.array([0, 4])] * 3 + [np.array([1, 4])] * 2 + [np.array([2, 4])]).preceded
    assert kept.toarray()[4].astype(bool).tolist() == [True, True, False, False, False]


def test_a_constant_feature_gets_no_weight_and_the_encoder_never_counts_backwards() -> None:
    generator = np.random.default_rng(0)
    features = generator.normal(size=(100, 6, 3))
    features[:, :, 1] = np.log(1e-4)
    listed = np.ones((100, 6), bool)
    weights = fit_weights(features, features[:, :, 0].argmin(axis=1), listed)
    assert abs(weights[1]) < 1e-3
    assert weights[0] > 0


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


@pytest.mark.parametrize("near", [(), (0.3, 0.2, -0.6)])
def test_what_nobody_counted_keeps_its_share_of_the_ten_best(near: tuple[float, ...]) -> None:
    generator = np.random.default_rng(0)
    lists = generator.normal(size=(200, 30, 5 + len(near)))
    lists[:, :, 0] = -np.sort(-3 * lists[:, :, 0], axis=1)
    listed = np.arange(30) < generator.integers(12, 31, size=(200, 1))
    weights = np.array([0.5, 0.8, 0.1, 0.4, 0.2, *near])
    typical = typical_features(lists, weights, listed)

    def among_best(place: int) -> float:
        """How often the item at this place of the encoder's order is among the ten best once it has no counts."""
        uncounted = lists.copy()
        uncounted[:, place, 1:4] = typical
        uncounted[:, place, 6:] = [0, 1][: len(near)]  # not known at all, and taken by nobody
        scores = np.where(listed, uncounted @ weights, -np.inf)
        return float(((scores > scores[:, place, None]).sum(axis=1) < 10)[listed[:, place]].sum())

    assert sum(map(among_best, range(30))) == pytest.approx(10 * 200, rel=0.01)
    short = typical_features(lists[:, :10], weights, listed[:, :10])
    assert short.tolist() == pytest.approx(lists[:, :10, 1:4].mean(axis=(0, 1)).tolist())


def test_what_an_item_follows_is_told_where_it_is_more_than_chance() -> None:
    # 1 comes after 0 whenever that is taken; 2 is everywhere.
    evidence = Evidence.of(ITEMS, [np.array([0, 1, 2, 3, 2])] * 30 + [np.array([2, 4, 2, 3, 2])] * 30)
    history = np.array([0, 4, 0, -1])
    after_one, after_two, unknown = evidence.followed(history, np.array([1, 2, -1]), most=2)
    shares = evidence.preceded.toarray()
    assert after_one == [(2, pytest.approx(shares[1, 0]))]  # the newer of both times
    assert all(share >= 2 * evidence.counts[2] / evidence.counts.sum() for _, share in after_two)
    assert unknown == []
    assert evidence.followed(np.array([-1]), np.array([1]), most=2) == [[]]
    assert evidence.followed(history, np.array([1]), most=0) == [[]]
    assert evidence.above(np.array([2, 0, -1])).tolist() == [0.8, 0.0, 0.0]
