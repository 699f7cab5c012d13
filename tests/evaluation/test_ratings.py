"""A score that follows the ratings foretells them, and one that does not is no better than their mean."""

import numpy as np
import pytest

from llmrec.evaluation.ratings import rating_metrics

EVENTS = np.arange(400)
STARS = np.random.default_rng(1).integers(1, 6, 400).astype(float)


def test_a_score_on_another_scale_foretells_exactly() -> None:
    found = rating_metrics(STARS * 7 - 100, STARS, EVENTS, liked_above=3.5)
    assert found["rmse"].value == pytest.approx(0, abs=1e-9)
    assert found["auc"].value == 1
    assert found["rmse_of_mean"].value == pytest.approx(STARS.std(), rel=0.01)


def test_a_score_that_knows_nothing_is_as_good_as_the_mean() -> None:
    found = rating_metrics(np.random.default_rng(2).random(400), STARS, EVENTS, liked_above=3.5)
    assert found["rmse"].value == pytest.approx(found["rmse_of_mean"].value, rel=0.02)
    low, high = found["auc"].low, found["auc"].high
    assert low is not None
    assert high is not None
    assert low < 0.5 < high


def test_the_interval_holds_the_error() -> None:
    noise = np.random.default_rng(3).normal(size=400)
    found = rating_metrics(STARS + noise, STARS, EVENTS, liked_above=3.5)["rmse"]
    assert found.low is not None
    assert found.value is not None
    assert found.high is not None
    assert found.low < found.value < found.high


def test_events_without_a_rating_are_left_out() -> None:
    holes = np.where(np.arange(400) % 2 == 0, STARS, np.nan)
    whole = rating_metrics(STARS[::2], STARS[::2], EVENTS[::2], liked_above=3.5)
    assert rating_metrics(STARS, holes, EVENTS, liked_above=3.5) == whole


def test_a_rating_is_never_foretold_from_itself() -> None:
    # One wild rating: had it been seen by the line that foretells it, the error there would be smaller.
    scores, ratings = np.arange(8.0), np.array([1.0, 1, 1, 1, 1, 1, 1, 100])
    found = rating_metrics(scores, ratings, np.arange(8), liked_above=3.5)["rmse"].value
    assert found is not None
    assert found > 99 / np.sqrt(8) * 0.99


def test_a_constant_score_and_too_few_ratings_are_no_error() -> None:
    found = rating_metrics(np.zeros(400), STARS, EVENTS, liked_above=9)
    assert found["rmse"].value == pytest.approx(found["rmse_of_mean"].value)
    assert found["auc"].value is None
    assert rating_metrics(np.ones(3), np.ones(3), np.arange(3), liked_above=1) == {}


def test_the_same_users_events_ten_times_over_say_nothing_new() -> None:
    scores = STARS[:40] + np.random.default_rng(5).normal(size=40) * 2
    once = rating_metrics(scores, STARS[:40], EVENTS[:40], liked_above=3.5)
    tenfold = rating_metrics(*(np.repeat(part, 10) for part in (scores, STARS[:40], EVENTS[:40])), liked_above=3.5)
    for name, interval in once.items():
        assert tenfold[name].low == pytest.approx(interval.low), name
        assert tenfold[name].high == pytest.approx(interval.high), name


def test_a_rating_is_not_foretold_from_others_of_the_same_user() -> None:
    users = np.repeat(np.arange(8), 10)
    ratings = np.where(users == 7, 100.0, 1.0)
    found = rating_metrics(users.astype(float), ratings, users, liked_above=3.5)["rmse"].value
    assert found is not None
    assert found > 99 / np.sqrt(8) * 0.99
