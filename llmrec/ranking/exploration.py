"""A small share of a list's places is drawn, so that what is never shown can be learnt about.

At each place, with a small chance, the item is drawn from those left by the softmax of their scores (Plackett 1975,
Luce 1959), else it is the next best. The propensity of a place is the chance that it would hold what it holds, given
the places above: what an estimate from logged lists divides by.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy.special import softmax

from llmrec.records import RankedItem

__all__ = ["explored"]


def explored(
    ranked: Sequence[RankedItem], n: int, share: float, generator: np.random.Generator
) -> tuple[tuple[RankedItem, ...], tuple[float, ...]]:
    """The first n places, some of them drawn, and the propensity of each.

    Args:
        ranked: In the order that would be shown.
        n: How many places.
        share: The chance that a place is drawn, from 0 to 1.
        generator: Draws.
    """
    left, placed, propensities = list(ranked), [], []
    for rank in range(1, min(n, len(ranked)) + 1):
        chances = share * softmax([one.score for one in left])
        chances[0] += 1 - share
        chosen = int(generator.choice(len(left), p=chances / chances.sum()))
        propensities.append(float(chances[chosen]))
        one = left.pop(chosen)
        placed.append(RankedItem(rank, one.item, one.score, one.parts, one.probability))
    return tuple(placed), tuple(propensities)
