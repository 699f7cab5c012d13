"""Conditions looked up in an inverted index are as exact as reading every item."""

import numpy as np
import pytest

from llmrec.conditions import Condition, values_of
from llmrec.retrieval.index import IndexedItems, ItemIndex
from llmrec.retrieval.selection import AttributeValues, Selection

VALUES = [None, 1, 2.5, 3, -4, 2**53, 2**53 + 1, "Red", "red", "blue", True, False, ("Red", "blue"), (3, "blue"), ()]


def read_one_by_one(given: list[object], condition: Condition) -> list[bool]:
    """Every item's values against what the condition's own words say."""
    found = []
    for values in map(values_of, given):
        fits = condition.wanted is None and not condition.bounded
        for value in values:
            wanted = condition.wanted is None or value in condition.wanted
            fits |= wanted and (not condition.bounded or condition.bounds(value))
        found.append(fits and not values & condition.unwanted)
    return found


@pytest.mark.parametrize(
    "condition",
    [
        Condition.of(),
        Condition.of(["RED", 3]),
        Condition.of(["green"]),
        Condition.of([]),
        Condition.of(unwanted=["blue", 2**53]),
        Condition.of(least=2.5),
        Condition.of(most=2.5),
        Condition.of(least=-4, most=3, unwanted=[1]),
        Condition.of(least=2**53 + 1),
        Condition.of(least=5, most=4),
        Condition.of([3, "blue"], least=2),
    ],
    ids=str,
)
def test_what_is_looked_up_is_what_reading_every_item_finds(condition: Condition) -> None:
    generator = np.random.default_rng(0)
    given = [VALUES[place] for place in generator.integers(len(VALUES), size=400)]
    assert AttributeValues(given).fulfilling(condition).tolist() == read_one_by_one(given, condition)


def test_a_truth_value_hides_no_number() -> None:
    values = AttributeValues([True, 1, 0, False])
    assert values.fulfilling(Condition.of(least=0)).tolist() == [False, True, True, False]


def test_a_selection_reads_as_the_ids_in_their_order() -> None:
    some = Selection(tuple("abcdef"), np.array([1, 3, 4]))
    assert list(some) == ["b", "d", "e"]
    assert (len(some), some[1], some[1:], "d" in some, "c" in some) == (3, "d", ["d", "e"], True, False)
    assert not Selection(tuple("ab"), np.zeros(0, np.int64))


def test_a_selection_finds_what_its_names_find_also_in_an_index_of_another_order() -> None:
    generator = np.random.default_rng(1)
    ids = tuple(f"i{row}" for row in range(60))
    other = tuple(reversed(ids))
    vectors = generator.normal(size=(60, 4)).astype(np.float32)
    chosen = Selection(ids, np.arange(0, 60, 3))
    for order in (ids, other):
        index = ItemIndex(vectors, IndexedItems("", order, ("",) * 60))
        for query in generator.normal(size=(5, 4)).astype(np.float32):
            named = index.search(query, 7, among=list(chosen), excluded=["i0", "i6", "gone"])
            assert index.search(query, 7, among=chosen, excluded=["i0", "i6", "gone"]) == named
            assert not {"i0", "i6"} & {item_id for item_id, _ in named}
