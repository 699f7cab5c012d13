"""The encoder as a system: it learns from the training part alone, and what it ranks is what its lists say."""

from dataclasses import replace

import numpy as np
import pytest

from llmrec.evaluation import EncoderSystem, EvaluationOptions, Interactions, Sequences, evaluate, leave_one_out
from llmrec.evaluation.baselines import Popularity
from llmrec.retrieval import EncoderConfig, TrainingOptions

STEPS = 10
CONFIG = EncoderConfig(dimension=16, layers=1, heads=2, dropout=0.0, max_events=8)
OPTIONS = TrainingOptions(epochs=15, batch_size=4, learning_rate=3e-3, label_smoothing=0.0)
TEXTS = np.eye(STEPS, 16, dtype=np.float32)


@pytest.fixture(scope="module")
def ring() -> Interactions:
    """After item i everybody takes item i + 1; kinds, values and times come along."""
    starts = np.random.default_rng(0).integers(STEPS, size=40)
    rows = np.concatenate([(start + np.arange(6)) % STEPS for start in starts])
    sequences = Sequences(
        indptr=np.arange(0, len(rows) + 1, 6),
        rows=rows,
        values=np.where(np.arange(len(rows)) % 2, 4.0, np.nan),
        times=np.tile(np.arange(6), 40) * 86_400_000_000,
        kinds=np.arange(len(rows)) % 2,
    )
    return Interactions(
        tuple(f"u{user}" for user in range(40)),
        tuple(f"s{step}" for step in range(STEPS)),
        sequences,
        ("view", "rating"),
    )


def test_it_ranks_what_comes_next_first_and_far_before_popularity(ring: Interactions) -> None:
    system = EncoderSystem(TEXTS, CONFIG, OPTIONS)
    report = evaluate(leave_one_out(ring), [system, Popularity()], EvaluationOptions(resamples=50))
    found = report.to_dict()["systems"]
    assert found["retriever"]["ndcg@10"]["value"] > 0.8
    assert found["popularity"]["ndcg@10"]["value"] < 0.7
    assert system.training is not None
    assert system.training.epoch > 0


def test_one_items_score_is_that_of_its_place_in_the_list(ring: Interactions) -> None:
    split = leave_one_out(ring)
    system = EncoderSystem(TEXTS, CONFIG, replace(OPTIONS, epochs=2))
    system.fit(split.interactions)
    lists = system.rank(split.requests, 3)
    best, second = (system.score(split.requests, lists[:, place]) for place in (0, 1))
    assert (best >= second).all()
    assert (best > second).any()


def test_without_values_times_and_kinds_it_works_from_the_order_alone(ring: Interactions) -> None:
    plain = ring.with_sequences(Sequences(ring.sequences.indptr, ring.sequences.rows))
    system = EncoderSystem(np.zeros_like(TEXTS), replace(CONFIG, network="gru"), replace(OPTIONS, epochs=3))
    report = evaluate(leave_one_out(plain), [system], EvaluationOptions(resamples=20))
    assert report.to_dict()["systems"]["retriever"]["recall@20"]["value"] == 1.0
