"""Variety changes the order and nothing else, by the formula of its source."""

import numpy as np
import pytest

from llmrec import Item, RankedItem
from llmrec.retrieval import diversified
from llmrec.retrieval.index import IndexedItems, ItemIndex

SPADE, RAKE, PAN = [1.0, 0.0], [0.8, 0.6], [0.0, 1.0]


def ranked(scores: list[float]) -> tuple[RankedItem, ...]:
    order = sorted(range(len(scores)), key=lambda place: -scores[place])
    return tuple(
        RankedItem(rank, Item(f"i{place}", "An item"), scores[place], {"retrieval": scores[place]}, 0.5)
        for rank, place in enumerate(order, 1)
    )


def index(vectors: np.ndarray) -> ItemIndex:
    names = tuple(f"i{place}" for place in range(len(vectors)))
    return ItemIndex(vectors.astype(np.float32), IndexedItems("", names, names))


def ids(items: tuple[RankedItem, ...]) -> list[str]:
    return [one.item.item_id for one in items]


def test_the_twin_of_the_best_makes_room_for_something_else() -> None:
    twins = index(np.array([SPADE, SPADE, RAKE, PAN]))
    items = ranked([4.0, 3.0, 2.0, 0.0])
    assert ids(diversified(items, twins, 0.0, 4)) == ["i0", "i1", "i2", "i3"]
    assert ids(diversified(items, twins, 0.5, 4)) == ["i0", "i3", "i1", "i2"]
    # After i0: i1 has 0.7 · 3/4 - 0.3 · 1 = 0.225, i2 has 0.7 · 2/4 - 0.3 · 0.8 = 0.11, i3 has nothing either way.
    assert ids(diversified(items, twins, 0.3, 4)) == ["i0", "i1", "i2", "i3"]


def test_only_the_ranks_are_new() -> None:
    items = ranked([4.0, 3.0, 2.0, 0.0])
    found = diversified(items, index(np.array([SPADE, SPADE, RAKE, PAN])), 0.5, 3)
    assert [one.rank for one in found] == [1, 2, 3]
    before = {one.item.item_id: one for one in items}
    for one in found:
        old = before[one.item.item_id]
        assert (one.score, one.parts, one.probability) == (old.score, old.parts, old.probability)


def test_adding_a_constant_to_all_scores_or_stretching_them_changes_nothing() -> None:
    vectors = np.random.default_rng(0).normal(size=(20, 4))
    catalogue = index(vectors / np.linalg.norm(vectors, axis=1, keepdims=True))
    scores = np.random.default_rng(1).normal(size=20)
    plain = diversified(ranked(scores.tolist()), catalogue, 0.4, 20)
    assert ids(plain) == ids(diversified(ranked((7 * scores - 100).tolist()), catalogue, 0.4, 20))
    assert ids(plain) != ids(ranked(scores.tolist()))


@pytest.mark.parametrize("diversity", [0.1, 0.5, 0.9, 1.0])
def test_every_place_goes_to_the_item_with_the_highest_marginal_relevance(diversity: float) -> None:
    generator = np.random.default_rng(7)
    vectors = generator.normal(size=(60, 8))
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    scores = generator.normal(size=60)
    relevance = (scores - scores.min()) / (scores.max() - scores.min())
    found = [int(item_id[1:]) for item_id in ids(diversified(ranked(scores.tolist()), index(vectors), diversity, 60))]
    assert found[0] == int(scores.argmax())
    for place in range(1, 60):
        above, left = found[:place], found[place:]
        values = [
            (1 - diversity) * relevance[one] - diversity * max(float(vectors[one] @ vectors[other]) for other in above)
            for one in left
        ]
        assert values[0] == pytest.approx(max(values), abs=1e-6)


def test_lists_without_a_choice_stay_as_they_are() -> None:
    vectors = index(np.array([SPADE, SPADE, SPADE]))
    assert diversified((), vectors, 0.5, 10) == ()
    assert ids(diversified(ranked([1.0]), vectors, 1.0, 10)) == ["i0"]
    assert ids(diversified(ranked([2.0, 2.0, 2.0]), vectors, 0.5, 10)) == ["i0", "i1", "i2"]
