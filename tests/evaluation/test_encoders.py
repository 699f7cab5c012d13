"""The encoder as a system: it learns from the training part alone, and its scores are those of its lists."""

import errno
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from llmrec.errors import DataError, StoreError
from llmrec.evaluation import (
    EncoderSystem,
    EvaluationOptions,
    FittedSystem,
    Interactions,
    Sequences,
    encoders,
    evaluate,
    leave_one_out,
    run,
)
from llmrec.evaluation.baselines import Popularity
from llmrec.retrieval import EncoderConfig, TrainingOptions, training
from tests.evaluation.worlds import ragged, requests

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
    scores = system.score(split.requests, ragged(*lists.tolist())).reshape(lists.shape)
    assert (np.diff(scores, axis=1) <= 0).all()
    assert (np.diff(scores, axis=1) < 0).any()


def test_scores_are_log_chances_of_all_items(ring: Interactions) -> None:
    system = EncoderSystem(TEXTS, CONFIG, replace(OPTIONS, epochs=1))
    system.fit(ring)
    everything = system.score(requests([0, 1], [], [5]), ragged(*[list(range(STEPS))] * 3)).reshape(3, STEPS)
    np.testing.assert_allclose(np.exp(everything).sum(axis=1), 1, rtol=1e-5)


def test_who_starts_after_the_split_gets_what_is_popular(ring: Interactions) -> None:
    # Row 7 is taken most, then row 3; the others have an event each, or none.
    more = ragged([7, 3, 0], [7, 1, 3], [7, 2, 4])
    system = EncoderSystem(TEXTS, CONFIG, replace(OPTIONS, epochs=1))
    system.fit(Interactions(("a", "b", "c"), ring.item_ids, more))
    newcomer = requests([])
    assert system.rank(newcomer, 2).tolist() == [[7, 3]]
    np.testing.assert_allclose(
        np.exp(system.score(newcomer, ragged([7, 3, 9]))), np.array([4, 3, 1]) / (9 + STEPS), 1e-5
    )


def test_it_learns_from_the_training_part_alone(ring: Interactions) -> None:
    """Were what is to be foretold learnt from, lists would change with it."""
    newest = ring.sequences.indptr[1:] - 1
    rows = ring.sequences.rows.copy()
    rows[newest] = (rows[newest] + 2) % STEPS
    lists = []
    for sequences in (ring.sequences, replace(ring.sequences, rows=rows)):
        split = leave_one_out(ring.with_sequences(sequences))
        lists.append(run(EncoderSystem(TEXTS, CONFIG, replace(OPTIONS, epochs=2)), split, depth=STEPS).lists)
    np.testing.assert_array_equal(lists[0], lists[1])


def test_of_a_finished_training_its_own_seconds_are_known(ring: Interactions, tmp_path: Path) -> None:
    seconds = []
    for _ in range(2):
        system = EncoderSystem(TEXTS, CONFIG, replace(OPTIONS, epochs=2), checkpoints=tmp_path)
        system.fit(ring)
        seconds.append(system.fit_seconds)
    assert seconds[0] == seconds[1] > 0


def test_an_encoder_trained_before_finds_its_items_by_their_ids(ring: Interactions) -> None:
    trained = EncoderSystem(TEXTS, CONFIG, replace(OPTIONS, epochs=2))
    trained.fit(ring)
    assert trained._fitted is not None
    turned = Interactions(
        ring.user_ids, ring.item_ids[::-1], replace(ring.sequences, rows=STEPS - 1 - ring.sequences.rows)
    )
    shipped = FittedSystem(TEXTS[::-1], trained._fitted)
    shipped.fit(turned)
    expected = trained.score(requests([0, 1]), ragged(list(range(STEPS))))
    found = shipped.score(requests([STEPS - 1, STEPS - 2]), ragged(list(range(STEPS))[::-1]))
    np.testing.assert_allclose(found, expected, rtol=1e-5)


def test_an_encoder_of_other_items_is_refused(ring: Interactions) -> None:
    trained = EncoderSystem(TEXTS, CONFIG, replace(OPTIONS, epochs=1))
    trained.fit(ring)
    fewer = Interactions((), ring.item_ids[1:], ragged())
    with pytest.raises(DataError, match="other data"):
        FittedSystem(TEXTS[1:], trained._fitted).fit(fewer)
    with pytest.raises(DataError, match="other data"):
        FittedSystem(TEXTS[:, :1], trained._fitted).fit(ring)


def test_other_code_goes_on_from_no_checkpoint_of_this(
    ring: Interactions, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for code in ("this", "this", "other"):
        monkeypatch.setattr(encoders, "_CODE", [code])
        EncoderSystem(TEXTS, CONFIG, replace(OPTIONS, epochs=1), checkpoints=tmp_path).fit(ring)
    assert len(list(tmp_path.iterdir())) == 2


def test_a_full_disk_is_an_error_with_a_next_step(
    ring: Interactions, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(training, "replace_file", full)
    with pytest.raises(StoreError, match="No space left") as failed:
        EncoderSystem(TEXTS, CONFIG, OPTIONS, checkpoints=tmp_path).fit(ring)
    assert "free some space" in failed.value.hint


def test_without_values_times_and_kinds_it_works_from_the_order_alone(ring: Interactions) -> None:
    plain = ring.with_sequences(Sequences(ring.sequences.indptr, ring.sequences.rows))
    system = EncoderSystem(np.zeros_like(TEXTS), replace(CONFIG, network="gru"), replace(OPTIONS, epochs=3))
    report = evaluate(leave_one_out(plain), [system], EvaluationOptions(resamples=20))
    assert report.to_dict()["systems"]["retriever"]["recall@20"]["value"] == 1.0
