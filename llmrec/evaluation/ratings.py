"""How well a score foretells the rating that a user gave."""

from __future__ import annotations

import numpy as np

from llmrec.evaluation.interactions import Floats, Rows
from llmrec.evaluation.metrics import auc, rmse
from llmrec.evaluation.uncertainty import Interval, intervals_of

__all__ = ["rating_metrics"]

_FOLDS = 2


def rating_metrics(
    scores: Floats, ratings: Floats, users: Rows, *, liked_above: float, resamples: int = 1000, seed: int = 0
) -> dict[str, Interval]:
    """RMSE of the rating predicted from a score, and AUC of the score for what was liked, with 95% intervals.

    Ratings are predicted by the line that fits best on the events of the other half of the users, within the ratings
    seen there. ``rmse_of_mean`` is what predicting the other half's mean gives: the bar. Events of one user are alike,
    so the bootstrap draws users, each with all of their events.

    Args:
        scores: A score for each event.
        ratings: The rating it was given; events where it is NaN are left out.
        users: Whose event it is.
        liked_above: A higher rating means that the user liked the item.
        resamples: Draws of the bootstrap.
        seed: Of the bootstrap.
    """
    rated = np.isfinite(ratings) & np.isfinite(scores)
    scores, ratings = scores[rated], ratings[rated]
    known, owners = np.unique(users[rated], return_inverse=True)
    if len(known) < 2 * _FOLDS:
        return {}
    predicted, constant = _cross_fitted(scores, ratings, owners % _FOLDS)
    places, liked = np.unique(scores, return_inverse=True)[1], ratings > liked_above

    def measured(counts: Rows) -> Floats:
        of_events = counts[owners]
        errors = (rmse(predicted, ratings, of_events), rmse(constant, ratings, of_events))
        return np.array([*errors, auc(places, liked, of_events)])

    found = intervals_of(measured, len(known), resamples=resamples, seed=seed)
    return dict(zip(("rmse", "rmse_of_mean", "auc"), found, strict=True))


def _cross_fitted(scores: Floats, ratings: Floats, fold: Rows) -> tuple[Floats, Floats]:
    predicted, constant = np.empty(len(ratings)), np.empty(len(ratings))
    for held_out in range(_FOLDS):
        here, other = fold == held_out, fold != held_out
        x, y = scores[other], ratings[other]
        slope = float(np.cov(x, y, bias=True)[0, 1] / x.var()) if x.var() > 0 else 0.0
        predicted[here] = np.clip(y.mean() + slope * (scores[here] - x.mean()), y.min(), y.max())
        constant[here] = y.mean()
    return predicted, constant
