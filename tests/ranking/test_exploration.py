"""Some places are drawn, and each says how likely it was."""

import numpy as np
import pytest

from llmrec import Item, RankedItem
from llmrec.ranking import explored

RANKED = [RankedItem(place + 1, Item(f"i{place}", f"Item {place}"), 2.0 - place, {}, 0.1) for place in range(5)]


def test_nothing_is_drawn_by_a_share_of_nothing() -> None:
    placed, propensities = explored(RANKED, 3, 0.0, np.random.default_rng(0))
    assert list(placed) == RANKED[:3]
    assert propensities == (1.0, 1.0, 1.0)


def test_propensities_are_how_often_it_happens() -> None:
    generator = np.random.default_rng(0)
    first: dict[str, list[float]] = {}
    for _ in range(5000):
        placed, propensities = explored(RANKED, 2, 0.4, generator)
        assert [one.rank for one in placed] == [1, 2]
        assert len({one.item.item_id for one in placed}) == 2
        first.setdefault(placed[0].item.item_id, []).append(propensities[0])
    for seen in first.values():
        assert len(seen) / 5000 == pytest.approx(seen[0], abs=0.02)
        assert set(seen) == {seen[0]}
    assert len(first["i0"]) > 5000 * 0.6
    assert len(first["i1"]) > len(first["i3"])


def test_a_short_list_is_all_there_is() -> None:
    placed, propensities = explored(RANKED[:2], 10, 1.0, np.random.default_rng(0))
    assert len(placed) == len(propensities) == 2
    assert propensities[-1] == pytest.approx(1.0)
    assert explored([], 10, 1.0, np.random.default_rng(0)) == ((), ())
