"""What a trained encoder makes of items that nobody took, and how it is kept."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch

from llmrec.retrieval import EncoderConfig, FittedEncoder, SequenceEncoder
from llmrec.retrieval.sequences import EventVocabulary

KNOWN, NEW, SIZE = 90, 10, 8


@pytest.fixture
def fitted() -> FittedEncoder:
    """What is known has, for everybody, higher scores than any text alone can give."""
    torch.manual_seed(0)
    model = SequenceEncoder(EncoderConfig(dimension=SIZE, layers=1), items=KNOWN, text_dimension=SIZE, kinds=1).eval()
    torch.nn.init.eye_(model.project.weight)
    torch.nn.init.normal_(model.ids.weight, mean=2.0)
    users = np.abs(np.random.default_rng(0).normal(size=(200, SIZE))).astype(np.float32)
    return FittedEncoder(model, EventVocabulary(("view",)), tuple(f"i{row}" for row in range(KNOWN)), users)


def items_of(fitted: FittedEncoder) -> torch.Tensor:
    return fitted.item_vectors(np.random.default_rng(1).normal(scale=0.3, size=(KNOWN + NEW, SIZE)).astype(np.float32))


def share_of_newcomers(fitted: FittedEncoder, lifts: np.ndarray) -> float:
    scores = fitted.users @ items_of(fitted).numpy().T + lifts
    return float((np.argsort(-scores, axis=1)[:, :10] >= KNOWN).mean())


@pytest.mark.parametrize(("newcomers", "share"), [(0.0, 0.0), (0.02, 0.02), (0.1, 0.1), (1.0, 0.1)])
def test_items_nobody_took_get_their_share_of_the_places(fitted: FittedEncoder, newcomers: float, share: float) -> None:
    lifts = fitted.lifts(items_of(fitted), newcomers)
    assert not lifts[:KNOWN].any()
    assert len(set(lifts[KNOWN:].tolist())) == 1
    assert share_of_newcomers(fitted, lifts) == pytest.approx(share, abs=0.002)


def test_who_has_their_share_is_not_pushed_down(fitted: FittedEncoder) -> None:
    torch.nn.init.normal_(fitted.model.ids.weight, mean=-2.0)
    assert share_of_newcomers(fitted, np.zeros(KNOWN + NEW, np.float32)) > 0.1
    assert not fitted.lifts(items_of(fitted), 0.1).any()


def test_with_nothing_new_or_nobody_to_ask_nothing_is_added(fitted: FittedEncoder) -> None:
    assert not fitted.lifts(items_of(fitted)[:KNOWN], 0.1).any()
    assert not replace(fitted, users=np.zeros((0, 0), np.float32)).lifts(items_of(fitted), 0.1).any()


def test_a_catalogue_smaller_than_a_list_is_no_trouble(fitted: FittedEncoder) -> None:
    few = replace(fitted, item_ids=())
    assert np.isfinite(few.lifts(items_of(fitted)[:3], 0.1)).all()


def test_it_is_kept_whole(fitted: FittedEncoder) -> None:
    parts = fitted.to_parts()
    again = FittedEncoder.from_parts(parts["encoder.safetensors"], json.loads(json.dumps(parts["encoder.json"])))  # type: ignore[arg-type]
    np.testing.assert_array_equal(again.users, fitted.users)
    assert again.item_ids == fitted.item_ids
    assert torch.equal(
        again.item_vectors(np.eye(KNOWN, SIZE, dtype=np.float32)),
        fitted.item_vectors(np.eye(KNOWN, SIZE, dtype=np.float32)),
    )
