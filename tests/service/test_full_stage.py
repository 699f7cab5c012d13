"""The language model's stage of an evaluation: one release, four orders of the same lists, kept answers."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydantic import SecretStr

from llmrec import fitting
from llmrec.config import Settings, StoreSettings
from llmrec.errors import ConfigError, DataError
from llmrec.evaluation import EvaluationData, data_from_folder
from llmrec.evaluation import reranking as module
from llmrec.evaluation.protocols import leave_one_out, training_interactions
from llmrec.evaluation.reranking import JudgedLists, ListOrder, events_of, histories_of
from llmrec.ranking import Fusion, Ranker
from llmrec.retrieval import FittedEncoder
from llmrec.service.full_stage import FullStage, full_report, held_out_workspace, sampled
from llmrec.testing import WordEncoder
from tests.tiny import tiny_base

__all__ = ["tiny_base"]

USERS, ITEMS = 120, 12


@pytest.fixture
def data(tmp_path: Path) -> EvaluationData:
    folder = tmp_path / "data"
    folder.mkdir()
    lines = [f"u{user}\t" + " ".join(f"i{(user + step) % ITEMS}" for step in range(7)) for user in range(USERS)]
    (folder / "sequences.tsv").write_text("\n".join(["user_id\titem_ids", *lines, ""]))
    titles = [f"i{item}\tThing {item}\tDrama|War" for item in range(ITEMS)]
    (folder / "items.tsv").write_text("\n".join(["item_id\ttitle\tgenres", *titles, ""]))
    return data_from_folder("things", folder)


@pytest.fixture
def stage(tmp_path: Path, tiny_base: Path, monkeypatch: pytest.MonkeyPatch) -> FullStage:
    monkeypatch.setattr("llmrec.parts.TextEncoder.load", lambda *_, **__: WordEncoder())
    settings = {
        "models": {"language_model": str(tiny_base), "device": "cpu", "dtype": "float32"},
        "encoder": {"minimum_events": 50, "dimension": 16, "layers": 1, "epochs": 2, "max_events": 8},
        "retrieval": {"candidates": 5},
        "ranking": {"history_tokens": 150},
        "learning": {"lists_per_user": 2, "others": 3, "rank": 2, "dtype": "float32", "validation_lists": 8},
    }
    return FullStage(Settings.model_validate(settings), tmp_path / "kept", progress=False)


def test_one_release_is_measured_in_four_orders_and_its_answers_are_kept(
    data: EvaluationData, stage: FullStage, monkeypatch: pytest.MonkeyPatch
) -> None:
    report = full_report(data, stage)
    form = report.to_dict()
    assert {"retriever", "control", "llm", "fused", "popularity", "ease", "text"} <= set(form["systems"])
    assert {"fused-control", "fused-retriever", "fused-ease"} <= set(form["paired"])
    hits = {form["systems"][name]["recall@5"]["value"] for name in ("retriever", "control", "llm", "fused")}
    assert len(hits) == 1  # of five candidates, whatever their order
    assert form["users"] == USERS
    assert form["protocol"]["release"] == "rank/0001"
    for found in (form["reliability"][name] for name in ("control", "fused")):
        assert sum(part["places"] for part in found["bins"]) == 5 * USERS
        assert found["log_loss"] < 2 * found["base_log_loss"]
    monkeypatch.setattr(Ranker, "score", lambda *_: pytest.fail("the model was asked again"))
    again = full_report(data, stage).to_dict()
    assert again["systems"] == form["systems"]


def _accuracy(found: dict[str, object]) -> dict[str, object]:
    """Without what lists that nobody asked about have a say in."""
    told = ("precision", "recall", "hit", "ndcg", "mrr")
    return {metric: value for metric, value in found.items() if metric.startswith(told)}


def test_asking_only_about_lists_with_the_answer_changes_no_figure_of_accuracy(
    data: EvaluationData, stage: FullStage, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = full_report(data, stage).to_dict()
    asked: list[int] = []
    score = Ranker.score
    monkeypatch.setattr(Ranker, "score", lambda *given: asked.append(len(given[2])) or score(*given))
    less = full_report(data, replace(stage, hits_only=True)).to_dict()
    hits = whole["systems"]["retriever"]["recall@5"]["value"] * USERS
    assert 0 < len(asked) < USERS
    assert len(asked) == pytest.approx(hits)
    for name in ("retriever", "control", "llm", "fused"):
        assert less["systems"][name] == _accuracy(whole["systems"][name])
    assert less["paired"] == {pair: _accuracy(found) for pair, found in whole["paired"].items()}
    assert less["reliability"] == {}
    assert less["protocol"]["asked"] == "lists that hold the answer"


@pytest.mark.parametrize("named", ["settings", "variable"])
def test_a_measurement_keeps_its_events_out_of_a_database_that_is_configured(
    data: EvaluationData, stage: FullStage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, named: str
) -> None:
    own = tmp_path / "production.db"
    url = f"sqlite:///{own}"
    if named == "variable":
        monkeypatch.setenv("LLMREC_STORE__URL", url)
        settings = Settings.load(tmp_path / "none.toml", stage.settings.model_dump(exclude_unset=True))
    else:
        settings = stage.settings.model_copy(update={"store": StoreSettings(url=SecretStr(url))})
    with held_out_workspace(data.by_id(), leave_one_out(data.by_id().interactions), replace(stage, settings=settings)):
        assert not own.exists()
    assert list(stage.kept.glob("workspace-*/llmrec.db"))


def test_without_a_language_model_there_is_no_full_stage(data: EvaluationData, stage: FullStage) -> None:
    off = stage.settings.model_copy(update={"ranking": stage.settings.ranking.model_copy(update={"enabled": False})})
    with pytest.raises(ConfigError, match="switched off") as caught:
        full_report(data, replace(stage, settings=off))
    assert "LLMREC_RANKING__ENABLED" in caught.value.hint


def test_a_release_from_elsewhere_is_measured_on_a_sample(
    data: EvaluationData, stage: FullStage, tmp_path: Path
) -> None:
    full_report(data, stage)
    (made,) = stage.kept.glob("workspace-*/releases/rank/0001")
    shutil.copytree(made, tmp_path / "shipped")
    other = FullStage(stage.settings, tmp_path / "other", tmp_path / "shipped", users=10, progress=False)
    form = full_report(data, other).to_dict()
    assert form["users"] == 10
    assert not list((tmp_path / "other").glob("workspace-*/training/*.safetensors"))


def test_a_figure_is_confirmed_by_others_than_the_sample(data: EvaluationData) -> None:
    split = leave_one_out(data.interactions)
    everybody = set(split.requests.users)
    first, others = sampled(split, 10), sampled(split, 5, skipped=10)
    assert (len(first.requests), len(others.requests)) == (10, 5)
    assert not set(first.requests.users) & set(others.requests.users)
    rest = sampled(split, None, skipped=10)
    assert set(rest.requests.users) == everybody - set(first.requests.users)
    assert set(others.requests.users) <= set(rest.requests.users)
    with pytest.raises(DataError, match="cannot be skipped"):
        sampled(split, 5, skipped=len(everybody))


def test_the_workspace_holds_nothing_that_is_to_be_foretold(data: EvaluationData, stage: FullStage) -> None:
    full_report(data, stage)
    (root,) = stage.kept.glob("workspace-*")
    import llmrec

    split = leave_one_out(data.by_id().interactions)
    with llmrec.Recommender.open(root, stage.settings) as rec:
        for row, user_id in enumerate(split.interactions.user_ids):
            known = [event.item_id for event in rec.store.events(user_id)]
            assert known == [f"i{(int(user_id[1:]) + step) % ITEMS}" for step in range(5)], row


def test_an_interrupted_reading_goes_on(
    data: EvaluationData, stage: FullStage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_KEPT_EVERY", 1)
    real, calls = Ranker.score, []

    def dies(ranker: Ranker, shared: object, items: list[object]) -> object:
        calls.append(1)
        if len(calls) == 30:
            raise KeyboardInterrupt
        return real(ranker, shared, items)  # type: ignore[arg-type]

    full = full_report(data, stage).to_dict()
    for kept in stage.kept.glob("workspace-*/said-*.npy"):
        kept.unlink()
    monkeypatch.setattr(Ranker, "score", dies)
    with pytest.raises(KeyboardInterrupt):
        full_report(data, stage)
    assert full_report(data, stage).to_dict()["systems"] == full["systems"]
    assert len(calls) == 1 + USERS


def test_items_without_titles_are_refused(data: EvaluationData, stage: FullStage) -> None:
    bare = EvaluationData("bare", data.interactions, None)
    with pytest.raises(DataError, match="titles"):
        full_report(bare, stage)


def test_orders_follow_their_scores_and_keep_what_is_empty_last() -> None:
    rows = np.array([[3, 1, 2], [5, 4, -1]])
    retriever = np.array([[3.0, 2.0, 1.0], [2.0, 1.0, 0.0]])
    control, llm = retriever[:, ::-1].copy(), np.array([[0.0, 9.0, 0.0], [0.0, 9.0, 0.0]])
    control[1] = [1.0, 2.0, 0.0]
    lists = JudgedLists(rows, retriever, control, llm, Fusion(retrieval_weight=1.0, llm_weight=1.0))
    assert lists.ordered("retriever").tolist() == [[3, 1, 2], [5, 4, -1]]
    assert lists.ordered("control").tolist() == [[2, 1, 3], [4, 5, -1]]
    assert lists.ordered("llm")[:, 0].tolist() == [1, 4]
    assert lists.ordered("fused").tolist() == [[1, 2, 3], [4, 5, -1]]
    system = ListOrder("fused", rows, lists.scores("fused"))
    requests = _Two()
    assert system.rank(requests, 2).tolist() == [[1, 2], [4, 5]]  # type: ignore[arg-type]
    assert system.rank(requests, 4).tolist() == [[1, 2, 3, -1], [4, 5, -1, -1]]  # type: ignore[arg-type]


class _Two:
    def __len__(self) -> int:
        return 2


def test_records_and_arrays_say_the_same(data: EvaluationData) -> None:
    interactions = data.by_id().interactions
    split = leave_one_out(interactions)
    training = training_interactions(split)
    events = list(events_of(training))
    assert len(events) == len(training.sequences.rows) == USERS * 5
    histories = list(histories_of(split.requests, interactions, {}, longest=3))
    for history, user in zip(histories, split.requests.users, strict=True):
        user_id = interactions.user_ids[user]
        assert history.known == 6
        first = int(user_id[1:])
        assert [event.item_id for event in history.events] == [f"i{(first + step) % ITEMS}" for step in (3, 4, 5)]
        assert history.seen == {f"i{(first + step) % ITEMS}" for step in range(6)}


def test_a_shipped_encoder_is_taken_as_it_is(
    data: EvaluationData, stage: FullStage, monkeypatch: pytest.MonkeyPatch
) -> None:
    full_report(data, stage)
    (first,) = stage.kept.glob("workspace-*/releases/rank/0001")
    weights = (first / "encoder.safetensors").read_bytes()
    encoder = FittedEncoder.from_parts(weights, json.loads((first / "encoder.json").read_bytes()))
    longer = stage.settings.model_copy(
        update={"learning": stage.settings.learning.model_copy(update={"crossfit_epochs": 1})}
    )
    epochs: list[int] = []
    fit_encoder = fitting.fit_encoder

    def counted(*given: Any, **named: Any) -> Any:
        epochs.append(given[3].epochs)
        return fit_encoder(*given, **named)

    monkeypatch.setattr(fitting, "fit_encoder", counted)
    full_report(data, replace(stage, settings=longer, encoder=encoder))
    assert epochs == [1, 1]  # of those that propose what is learnt from, one for each half of the users
    (second,) = {*stage.kept.glob("workspace-*/releases/rank/0001")} - {first}
    assert (second / "encoder.safetensors").read_bytes() == weights
    manifest = json.loads((second / "manifest.json").read_bytes())
    assert "epochs" not in manifest["metrics"]  # of the encoder: it had none
    assert manifest["metrics"]["adapter"]["lists"] > 0


def test_several_targets_of_a_user_are_foretold_by_one_release(data: EvaluationData, stage: FullStage) -> None:
    form = full_report(data, replace(stage, targets=2, users=10)).to_dict()
    assert form["users"] == 10
    assert form["protocol"]["targets"] == 2
    (said,) = stage.kept.glob("workspace-*/said-*.npy")
    assert len(np.load(said)) == 20
