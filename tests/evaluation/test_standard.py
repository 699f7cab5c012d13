"""The standard evaluation on a ring of steps, where who took a step takes the next one."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from llmrec.config import Settings
from llmrec.errors import ConfigError, DataError, MissingExtraError
from llmrec.evaluation import (
    EncoderSystem,
    EvaluationData,
    Interactions,
    Lineup,
    Protocol,
    ProtocolName,
    Report,
    Sequences,
    encoders,
    leave_one_out,
    lineup,
    standard_report,
    training_interactions,
)
from llmrec.retrieval import EncoderConfig, TrainingOptions, training
from tests.evaluation.worlds import ragged

STEPS, USERS = 24, 40
TEXTS = np.eye(STEPS, dtype=np.float32)
SETTINGS = Settings.model_validate(
    {"encoder": {"dimension": 16, "layers": 1, "max_events": 8, "epochs": 12, "batch_size": 4, "learning_rate": 3e-3,
                 "dropout": 0, "minimum_events": 10}}
)  # fmt: skip
UNTRAINED = Settings()
LEAVE_ONE_OUT = Protocol()
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def ring() -> EvaluationData:
    starts = np.random.default_rng(0).integers(STEPS, size=USERS)
    parts = ragged(*[((start + np.arange(6)) % STEPS).tolist() for start in starts])
    day = 86_400_000_000
    timed = replace(parts, times=(np.tile(np.arange(6), USERS) + 19_800) * day)
    names = tuple(f"u{user:02d}" for user in range(USERS))
    interactions = Interactions(names, tuple(f"s{step:02d}" for step in range(STEPS)), timed)
    groups = {"side": {name: place % 2 for place, name in enumerate(names)}}
    return EvaluationData("ring", interactions, [f"step {step}" for step in range(STEPS)], groups)


def vectors_of(data: EvaluationData) -> np.ndarray:
    """Of each item the line of TEXTS that its text names, whatever its row."""
    assert data.texts is not None
    return TEXTS[[int(text.removeprefix("step ")) for text in data.texts]]


def report(
    data: EvaluationData, protocol: Protocol = LEAVE_ONE_OUT, settings: Settings = SETTINGS, **how: Any
) -> Report:
    return standard_report(data, vectors_of, Lineup(settings, **how), protocol)


def test_every_report_has_the_baselines_and_compares_the_retriever_with_each() -> None:
    pytest.importorskip("implicit")
    found = report(ring(), seeds=(3, 4), sasrec=True, gru=True)
    baselines = ["popularity", "ease", "als", "text", "sasrec", "gru"]
    assert list(found.systems) == [*baselines, "retriever", "retriever-4", "control", "control-4"]
    assert list(found.paired) == [f"retriever-{name}" for name in (*baselines, "control", "control-4")]
    for name in ("retriever", "retriever-4", "sasrec", "gru"):
        assert (found.systems[name]["ndcg@10"].value or 0) > (found.systems["popularity"]["ndcg@10"].value or 0)
    assert {"rare_items", "cold_items", "short_histories", "side=0", "side=1"} <= set(found.slices)
    assert found.protocol["seeds"] == [3, 4]
    assert "recall@50" in found.systems["ease"]


def test_a_shipped_encoder_is_measured_as_the_retriever_and_nothing_is_trained(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    split = leave_one_out(ring().interactions.by_id())
    trained = EncoderSystem(vectors_of(ring()), EncoderConfig.of(SETTINGS.encoder), TrainingOptions(epochs=12))
    trained.fit(training_interactions(split))

    def train(*_: object, **__: object) -> None:
        raise AssertionError("nothing is trained")

    monkeypatch.setattr(encoders, "train", train)
    found = report(ring(), shipped=trained._fitted)
    lists = trained.rank(split.requests, 10)
    hits = (lists == split.targets.rows[:, None]).any(axis=1).mean()
    assert found.systems["retriever"]["recall@10"].value == pytest.approx(hits)
    assert any("trained before" in note for note in found.notes)
    assert "encoder" not in found.protocol


def test_a_finished_training_is_not_done_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = report(ring(), checkpoints=tmp_path)

    def train(_: object) -> None:
        raise AssertionError("it trains again")

    monkeypatch.setattr(training._Run, "epoch", train)
    again = report(ring(), checkpoints=tmp_path)
    assert again.to_dict()["systems"] == first.to_dict()["systems"]
    with pytest.raises(AssertionError, match="trains again"):
        report(ring(), checkpoints=tmp_path, seeds=(2,))


def test_an_interrupted_training_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = report(ring())
    real, done = training._Run.epoch, []

    def interrupted(run: training._Run) -> None:
        if len(done) == 5:
            raise KeyboardInterrupt
        done.append(run.state.epoch)
        real(run)

    monkeypatch.setattr(training._Run, "epoch", interrupted)
    with pytest.raises(KeyboardInterrupt):
        report(ring(), checkpoints=tmp_path)
    done.clear()
    monkeypatch.setattr(training._Run, "epoch", lambda run: (done.append(run.state.epoch), real(run)))
    assert report(ring(), checkpoints=tmp_path).systems == whole.systems
    assert done[0] == 5


def test_the_order_of_users_and_items_changes_no_users_result() -> None:
    data = ring()
    users, items = (np.random.default_rng(3).permutation(number) for number in (USERS, STEPS))
    moved = data.interactions.take_users(users)._take_items(items)
    assert data.texts is not None
    other = replace(data, interactions=moved, texts=[data.texts[row] for row in items])
    one, two = report(data), report(other)
    for system, metrics in one.per_user.items():
        for metric, values in metrics.items():
            np.testing.assert_array_equal(two.per_user[system][metric], values, err_msg=f"{system} {metric}")


def planted(plant: int) -> EvaluationData:
    """Everybody's newest event, at one moment, is on an item that nobody took before."""
    data = ring()
    parts = data.interactions.sequences
    assert parts.times is not None
    sequences = Sequences(
        parts.indptr + np.arange(USERS + 1),
        np.insert(parts.rows % (STEPS - 2), parts.indptr[1:], plant),
        times=np.insert(parts.times, parts.indptr[1:], parts.times.max() + 1),
    )
    return replace(data, interactions=data.interactions.with_sequences(sequences))


def foretold(plant: int, name: ProtocolName) -> Report:
    data = planted(plant)
    assert data.interactions.sequences.times is not None
    moment = EPOCH + timedelta(microseconds=int(data.interactions.sequences.times.max()))
    return report(data, Protocol(name, moment if name == "temporal" else None))


@pytest.mark.parametrize("name", ["leave-one-out", "temporal"])
def test_a_planted_future_event_is_found_nowhere(name: ProtocolName) -> None:
    one, other = foretold(STEPS - 1, name), foretold(STEPS - 2, name)
    assert one.slices["cold_items"].users == USERS
    for system, metrics in one.per_user.items():
        # What lists are made of, whatever was the right answer: it would change if anything of the future were seen.
        for metric in ("novelty@10", "popularity@10", "diversity@10"):
            np.testing.assert_array_equal(other.per_user[system][metric], metrics[metric], err_msg=f"{system} {metric}")
    for system in ("popularity", "ease"):
        assert one.systems[system]["recall@5"].value == 0


def test_items_held_out_are_what_the_cold_slice_asks_for() -> None:
    found = report(ring(), Protocol(cold_items=0.25))
    assert found.protocol["held_out_items"] == STEPS // 4
    cold = found.slices["cold_items"]
    assert 0 < cold.users < found.users
    assert cold.users + found.slices["warm_items"].users == found.users
    assert any("warm_items" in note for note in found.notes)
    assert cold.systems["popularity"]["recall@5"].value == 0
    assert set(cold.systems) >= {"text", "retriever"}


def test_another_seed_holds_other_items_out_and_the_same_one_the_same() -> None:
    def cold_recall(seed: int) -> tuple[int, object]:
        found = report(ring(), Protocol(cold_items=0.25, cold_seed=seed), baselines_only=True)
        assert found.protocol["held_out_seed"] == seed
        return found.slices["cold_items"].users, found.per_user["popularity"]["novelty@10"].tolist()

    assert cold_recall(1) == cold_recall(1)
    assert len({str(cold_recall(seed)) for seed in range(3)}) == 3


def test_a_split_in_time_takes_a_share_or_a_moment() -> None:
    share = report(ring(), Protocol("temporal", 0.5), baselines_only=True)
    assert share.protocol["name"] == "temporal"
    assert share.protocol["share_before"] == 0.5
    assert "encoder" not in share.protocol


@pytest.mark.parametrize(
    ("given", "complaint"),
    [
        ({"split_at": 0.5}, "splits at no moment"),
        ({"name": "temporal", "cold_items": 0.1}, "with leave-one-out only"),
        ({"name": "temporal", "split_at": 1.5}, "1.5 is not between 0 and 1"),
        ({"cold_items": 0.0}, "0.0 is not between 0 and 1"),
        ({"cold_seed": 1}, "no items are held out"),
        ({"cold_items": 0.1, "cold_seed": -1}, "-1 is negative"),
    ],
)
def test_options_of_the_other_protocol_and_shares_of_nothing_are_refused(given: dict[str, Any], complaint: str) -> None:
    with pytest.raises(ConfigError, match=complaint):
        Protocol(**given)


def test_with_little_to_learn_from_the_retriever_goes_by_texts_and_says_so() -> None:
    found = report(ring(), settings=UNTRAINED)
    assert any("texts alone" in note for note in found.notes)
    assert "retriever" in found.systems
    assert report(replace(ring(), texts=None), settings=UNTRAINED).notes[-1].startswith("There are too few")


def test_events_are_counted_as_a_fit_counts_them_over_all_of_the_data() -> None:
    steps = USERS * 5  # of the training part they are USERS * 3
    enough, too_many = (
        Settings.model_validate({"encoder": {**SETTINGS.encoder.model_dump(), "epochs": 1, "minimum_events": least}})
        for least in (steps, steps + 1)
    )
    assert not any("texts alone" in note for note in report(ring(), settings=enough).notes)
    assert any("texts alone" in note for note in report(ring(), settings=too_many).notes)


def test_texts_are_embedded_only_once_the_data_is_split() -> None:
    def embed(_: EvaluationData) -> np.ndarray:
        raise AssertionError("too early")

    with pytest.raises(DataError, match="no event lies before"):
        standard_report(ring(), embed, Lineup(SETTINGS), Protocol("temporal", EPOCH))


def test_without_texts_no_items_are_held_out() -> None:
    with pytest.raises(DataError, match="without texts"):
        report(replace(ring(), texts=None), Protocol(cold_items=0.25))


def test_without_texts_the_retriever_and_sasrec_are_two_trainings(tmp_path: Path) -> None:
    encoder = {**SETTINGS.encoder.model_dump(), "epochs": 1, "id_dropout": 0.0}
    settings = Settings.model_validate({"encoder": encoder})
    report(replace(ring(), texts=None), settings=settings, sasrec=True, checkpoints=tmp_path)
    assert len(list(tmp_path.iterdir())) == 2


def test_without_texts_the_retriever_knows_items_by_their_ids() -> None:
    found = report(replace(ring(), texts=None))
    assert "text" not in found.systems
    assert (found.systems["retriever"]["ndcg@10"].value or 0) > 0.5
    assert "diversity@10" not in found.systems["retriever"]


def test_without_its_package_als_is_left_out_with_a_note(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing() -> None:
        raise MissingExtraError("implicit", extra="als", purpose="the ALS baseline")

    monkeypatch.setattr(lineup, "Als", missing)
    found = report(ring(), baselines_only=True)
    assert list(found.systems) == ["popularity", "ease", "text"]
    assert list(found.paired) == ["ease-popularity", "ease-text"]
    assert "llmrec[als]" in found.notes[0]
