"""How well a score foretells the rating that a user gave."""

from __future__ import annotations

from math import sqrt

import numpy as np

from llmrec.evaluation.interactions import Floats
from llmrec.evaluation.metrics import auc, rmse
from llmrec.evaluation.uncertainty import Interval, intervals

__all__ = ["rating_metrics"]

_FOLDS = 2
_NORMAL = 1.959963984540054


def rating_metrics(
    scores: Floats, ratings: Floats, *, liked_above: float, resamples: int = 1000, seed: int = 0
) -> dict[str, Interval]:
    """RMSE of the rating predicted from a score, and AUC of the score for what was liked, with 95% intervals.

    Ratings are predicted by the line that fits best on the other half of the events, within the ratings seen there.
    ``rmse_of_mean`` is what predicting the other half's mean gives: the bar.

    Args:
        scores: A score for each event.
        ratings: The rating it was given; events where it is NaN are left out.
        liked_above: A higher rating means that the user liked the item.
        resamples: Draws of the bootstrap.
        seed: Of the bootstrap.
    """
    rated = np.isfinite(ratings) & np.isfinite(scores)
    scores, ratings = scores[rated], ratings[rated]
    if len(ratings) < 2 * _FOLDS:
        return {}
    predicted, constant = _cross_fitted(scores, ratings)
    errors = np.stack([(predicted - ratings) ** 2, (constant - ratings) ** 2], axis=1)
    spread = intervals(errors, resamples=resamples, seed=seed)
    exact = (rmse(predicted, ratings), rmse(constant, ratings))
    return {
        "rmse": _root(exact[0], spread[0]),
        "rmse_of_mean": _root(exact[1], spread[1]),
        "auc": _auc_interval(scores, ratings > liked_above),
    }


def _cross_fitted(scores: Floats, ratings: Floats) -> tuple[Floats, Floats]:
    predicted, constant = np.empty(len(ratings)), np.empty(len(ratings))
    fold = np.arange(len(ratings)) % _FOLDS
    for held_out in range(_FOLDS):
        here, other = fold == held_out, fold != held_out
        x, y = scores[other], ratings[other]
        slope = float(np.cov(x, y, bias=True)[0, 1] / x.var()) if x.var() > 0 else 0.0
        predicted[here] = np.clip(y.mean() + slope * (scores[here] - x.mean()), y.min(), y.max())
        constant[here] = y.mean()
    return predicted, constant


def _root(value: float, squared: Interval) -> Interval:
    low, high = (None if end is None else sqrt(end) for end in (squared.low, squared.high))
    return Interval(value, low, high)


def _auc_interval(scores: Floats, liked: np.ndarray[tuple[int, ...], np.dtype[np.bool_]]) -> Interval:
    """AUC with the interval of Hanley and McNeil 1982."""
    area, positives, negatives = auc(scores, liked), int(liked.sum()), int((~liked).sum())
    if np.isnan(area):
        return Interval(None, None, None)
    both, other = area / (2 - area), 2 * area * area / (1 + area)
    variance = area * (1 - area) + (positives - 1) * (both - area**2) + (negatives - 1) * (other - area**2)
    reach = _NORMAL * sqrt(max(variance, 0.0) / (positives * negatives))
    return Interval(area, max(0.0, area - reach), min(1.0, area + reach))
