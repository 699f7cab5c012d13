"""Probabilities that mean what they say have a lower log-loss, and a curve along the diagonal."""

import numpy as np
import pytest

from llmrec.evaluation.reliability import reliability


def test_true_chances_beat_the_base_rate_and_false_ones_do_not() -> None:
    draw = np.random.default_rng(0)
    true = draw.uniform(0, 0.5, 20_000)
    taken = draw.random(20_000) < true
    found = reliability({"true": true, "turned": 0.5 - true}, {"true": taken, "turned": taken})
    assert found["true"].log_loss < found["true"].base_log_loss < found["turned"].log_loss
    for chance, share, places in found["true"].bins:
        assert share == pytest.approx(chance, abs=0.03)
        assert places == 2_000
    assert [chance for chance, _, _ in found["true"].bins] == sorted(chance for chance, _, _ in found["true"].bins)


def test_the_base_rate_is_the_share_taken() -> None:
    (found,) = reliability({"one": np.array([0.5, 0.5, 0.5, 0.5])}, {"one": np.array([1, 0, 0, 0], bool)}).values()
    assert found.base_log_loss == pytest.approx(-(np.log(0.25) + 3 * np.log(0.75)) / 4)
    assert found.log_loss == pytest.approx(np.log(2))


def test_certainty_about_what_did_not_happen_is_finite_and_nothing_is_nothing() -> None:
    (found,) = reliability({"one": np.array([1.0])}, {"one": np.array([False])}).values()
    assert np.isfinite(found.log_loss)
    (empty,) = reliability({"one": np.zeros(0)}, {"one": np.zeros(0, bool)}).values()
    assert (empty.log_loss, empty.bins) == (0.0, ())
