"""How far a mean over users may be from what other users of the same kind would give, and whether two systems differ.

Values are by user and metric, float64 [users, metrics], NaN where a user has none; such users are left out of that
metric's mean. With the same seed and number of users the same users are drawn, whatever is measured.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from math import sqrt

import numpy as np

from llmrec.errors import DataError
from llmrec.evaluation.interactions import Floats, Rows

__all__ = ["Comparison", "Interval", "intervals", "intervals_of", "means", "paired", "wilson"]

_CHUNK_CELLS = 4_000_000
_TAILS = (2.5, 97.5)
_NORMAL = 1.959963984540054


@dataclass(frozen=True, slots=True)
class Interval:
    """A mean and its 95% interval; None where it was not measured, or cannot be."""

    value: float | None
    low: float | None
    high: float | None

    def to_dict(self) -> dict[str, float | None]:
        """The JSON form of the contract."""
        return {"value": self.value, "low": self.low, "high": self.high}


@dataclass(frozen=True, slots=True)
class Comparison:
    """The mean difference of two systems over the same users, its 95% interval and a two-sided p value."""

    difference: float | None
    low: float | None
    high: float | None
    p: float | None

    def to_dict(self) -> dict[str, float | None]:
        """The JSON form of the contract."""
        return {"difference": self.difference, "low": self.low, "high": self.high, "p": self.p}


def means(values: Floats) -> Floats:
    """The mean of each metric, float64 [metrics]; NaN where no user has a value."""
    found: Floats = _means(np.ones((1, len(values))), values)[0]
    return found


def intervals(values: Floats, *, resamples: int = 1000, seed: int = 0) -> list[Interval]:
    """The mean of each metric with its percentile bootstrap interval over users (Efron 1979).

    Raises:
        DataError: There is no user.
    """
    return _intervals(means(values), _resampled_means(values, resamples, seed))


def intervals_of(
    measure: Callable[[Rows], Floats], users: int, *, resamples: int = 1000, seed: int = 0
) -> list[Interval]:
    """As `intervals`, for what is no mean over users.

    Args:
        measure: The values, float64 [metrics], where each user is there so many times, int64 [users].
        users: How many there are.
        resamples: Draws of the bootstrap.
        seed: Of the draws.
    """
    generator = np.random.default_rng(seed)
    draws = (generator.integers(users, size=users) for _ in range(resamples))
    drawn = np.stack([measure(np.bincount(draw, minlength=users)) for draw in draws])
    return _intervals(measure(np.ones(users, np.int64)), drawn)


def paired(first: Floats, second: Floats, *, resamples: int = 1000, seed: int = 0) -> list[Comparison]:
    """How much better `first` is than `second` on each metric, user by user.

    The interval is a percentile bootstrap of the mean difference. The p value is that of a sign-flip test (Fisher
    1935; for retrieval, Smucker, Allan and Carterette 2007): if the two were alike, each user's difference could as
    well have the other sign. The smallest p value it can give is 1 / (resamples + 1).

    Raises:
        DataError: There is no user, or not the same number of them.
    """
    if first.shape != second.shape:
        raise DataError(f"values {first.shape} and {second.shape} are not of the same users", hint="pair them up")
    differences = first - second
    observed = means(differences)
    low, high = _percentiles(_resampled_means(differences, resamples, seed))
    chances = _sign_flip(differences, observed, resamples, seed)
    return [
        Comparison(*(_number(value) for value in column)) for column in zip(observed, low, high, chances, strict=True)
    ]


def wilson(successes: int, trials: int) -> Interval:
    """A share and its 95% score interval (Wilson 1927); it takes the trials as independent."""
    if not trials:
        return Interval(None, None, None)
    share, z = successes / trials, _NORMAL
    centre = (share + z * z / (2 * trials)) / (1 + z * z / trials)
    reach = z * sqrt(share * (1 - share) / trials + z * z / (4 * trials**2)) / (1 + z * z / trials)
    return Interval(share, max(0.0, centre - reach), min(1.0, centre + reach))


def _resampled_means(values: Floats, resamples: int, seed: int) -> Floats:
    """The means over as many users, drawn with replacement, float64 [resamples, metrics]."""
    users = len(values)
    if not users:
        raise DataError("there is no user to measure", hint="choose a slice that has users")
    generator = np.random.default_rng(seed)
    drawn = []
    for size in _sizes(resamples, users):
        cells = generator.integers(users, size=(size, users)) + np.arange(size)[:, None] * users
        counts = np.bincount(cells.ravel(), minlength=size * users).reshape(size, users)
        drawn.append(_means(counts.astype(np.float64), values))
    return np.concatenate(drawn)


def _sign_flip(differences: Floats, observed: Floats, resamples: int, seed: int) -> Floats:
    users = len(differences)
    generator = np.random.default_rng(seed)
    extreme = np.zeros(differences.shape[1])
    known = np.isfinite(differences)
    # A rounding error must not make an outcome that is equal to the observed one look smaller.
    bar = np.abs(observed) * (1 - 1e-9)
    for size in _sizes(resamples, users):
        signs = generator.integers(2, size=(size, users)) * 2.0 - 1.0
        flipped = signs @ np.where(known, differences, 0.0) / np.maximum(known.sum(axis=0), 1)
        extreme += (np.abs(flipped) >= bar).sum(axis=0)
    return np.where(np.isnan(observed), np.nan, (1 + extreme) / (resamples + 1))


def _means(counts: Floats, values: Floats) -> Floats:
    """The mean of each metric with every user counted so many times, float64 [lines of counts, metrics]."""
    known = np.isfinite(values)
    sums: Floats = counts @ np.where(known, values, 0.0)
    weights = counts @ known.astype(np.float64)
    found = np.full(sums.shape, np.nan)
    np.divide(sums, weights, out=found, where=weights > 0)
    return found


def _intervals(values: Floats, drawn: Floats) -> list[Interval]:
    return [
        Interval(*(_number(value) for value in column)) for column in zip(values, *_percentiles(drawn), strict=True)
    ]


def _percentiles(drawn: Floats) -> Floats:
    """The ends of the middle 95% of each column, float64 [2, columns]; NaN where nothing was drawn."""
    empty = np.isnan(drawn).all(axis=0)
    ends: Floats = np.nanpercentile(np.where(empty, 0.0, drawn), _TAILS, axis=0)
    ends[:, empty] = np.nan
    return ends


def _sizes(resamples: int, users: int) -> Iterator[int]:
    step = max(1, _CHUNK_CELLS // users)
    return (min(step, resamples - start) for start in range(0, resamples, step))


def _number(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None
