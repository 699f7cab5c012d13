"""Intervals hold what they should, and a difference is only one where it cannot be luck."""

import numpy as np
import pytest

from llmrec.errors import DataError
from llmrec.evaluation import uncertainty
from llmrec.evaluation.uncertainty import Interval, intervals, means, paired, wilson


def column(*values: float) -> np.ndarray:
    return np.array(values)[:, None]


def test_the_interval_of_a_constant_is_the_constant() -> None:
    assert intervals(column(*[0.25] * 9)) == [Interval(0.25, 0.25, 0.25)]


def test_an_interval_is_as_wide_as_the_normal_one_on_many_users() -> None:
    values = np.random.default_rng(1).normal(2.0, 1.0, size=(4000, 1))
    (found,) = intervals(values, resamples=2000)
    error = values.std() / np.sqrt(4000)
    assert found.low == pytest.approx(values.mean() - 1.96 * error, abs=0.15 * error)
    assert found.high == pytest.approx(values.mean() + 1.96 * error, abs=0.15 * error)


def test_the_true_mean_is_outside_about_one_interval_in_twenty() -> None:
    samples = np.random.default_rng(2).exponential(size=(150, 400))
    missed = sum(not (one.low or 0) <= 1 <= (one.high or 0) for one in intervals(samples, resamples=500))
    assert 5 <= missed <= 45


def test_the_same_seed_gives_the_same_interval_whatever_else_is_measured() -> None:
    values = np.random.default_rng(3).random((50, 3))
    together, alone = intervals(values, seed=4)[2], intervals(values[:, 2:], seed=4)[0]
    assert (together.low, together.high) == pytest.approx((alone.low, alone.high), rel=1e-12)
    assert intervals(values, seed=4) != intervals(values, seed=5)


def test_chunks_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    values = np.random.default_rng(3).random((50, 2))
    whole = intervals(values), paired(values, values[::-1])
    monkeypatch.setattr(uncertainty, "_CHUNK_CELLS", 333)
    assert (intervals(values), paired(values, values[::-1])) == whole


def test_users_without_a_value_are_left_out() -> None:
    nan = float("nan")
    values = np.array([[1.0, nan, 3.0], [nan, nan, 3.0], [3.0, nan, 3.0]])
    np.testing.assert_allclose(means(values), [2.0, nan, 3.0])
    first, second, third = intervals(values)
    assert first == Interval(2.0, 1.0, 3.0)
    assert second == Interval(None, None, None)
    assert third == Interval(3.0, 3.0, 3.0)


def test_nobody_cannot_be_measured() -> None:
    with pytest.raises(DataError, match="no user"):
        intervals(np.zeros((0, 2)))


def test_a_small_difference_that_every_user_has_is_one() -> None:
    noise = np.random.default_rng(5).normal(size=(200, 1))
    (found,) = paired(noise + 0.01, noise)
    assert found.difference == pytest.approx(0.01)
    assert found.low == pytest.approx(0.01)
    assert found.p == pytest.approx(1 / 1001)


def test_two_systems_that_are_alike_do_not_differ() -> None:
    first, second = np.random.default_rng(6).random((2, 300, 1))
    (found,) = paired(first, second)
    assert found.low is not None
    assert found.high is not None
    assert found.p is not None
    assert found.low < 0 < found.high
    assert found.p > 0.05
    (same,) = paired(first, first)
    assert (same.difference, same.low, same.high, same.p) == (0, 0, 0, 1)


def test_p_is_the_share_of_signs_that_do_as_well() -> None:
    # Of the eight ways to give three equal differences signs, two are as far from zero as all of one sign.
    (found,) = paired(column(1, 1, 1), column(0, 0, 0), resamples=4000)
    assert found.p == pytest.approx(0.25, abs=0.03)


def test_p_is_uniform_where_there_is_no_difference() -> None:
    differences = np.random.default_rng(7).normal(size=(60, 400))
    chances = np.array([one.p for one in paired(differences, np.zeros_like(differences), resamples=400)])
    assert 0.02 < (chances <= 0.05).mean() < 0.09
    assert 0.4 < (chances <= 0.5).mean() < 0.6


def test_systems_are_compared_on_the_same_users_only() -> None:
    with pytest.raises(DataError, match="not of the same users"):
        paired(np.zeros((3, 1)), np.zeros((2, 1)))


def test_a_share_has_the_interval_of_wilson() -> None:
    # Newcombe 1998, table I: 81 of 263, and 0 of 20.
    found, none = wilson(81, 263), wilson(0, 20)
    assert (found.low, found.high) == pytest.approx((0.2553, 0.3662), abs=1e-4)
    assert (none.low, none.high) == pytest.approx((0.0, 0.1611), abs=1e-4)
    assert wilson(0, 0) == Interval(None, None, None)
