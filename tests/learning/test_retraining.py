"""From events to a release with an adapter: lists that hide their answers, a gate, a swap, a rollback."""

from __future__ import annotations

import json
import shutil
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from llmrec import Event, Item, Recommender, User, fitting, serving
from llmrec.errors import (
    BusyError,
    ConfigError,
    DataError,
    MissingExtraError,
    ModelError,
    NothingNewError,
    ReleaseError,
)
from llmrec.fitting import Fit, FittedRetriever, TrainedRanker
from llmrec.learning import ranker as ranker_module
from llmrec.learning import retrain, retraining, scrubbing
from llmrec.learning import training as training_module
from llmrec.learning.crossfit import CrossFit, cross_fit
from llmrec.learning.lessons import Lessons
from llmrec.learning.training import AdapterOptions, AdapterTraining, train_adapter
from llmrec.learning.verdict import Verdict
from llmrec.models.adapters import WEIGHTS
from llmrec.models.lora import LoraLearner
from llmrec.ranking import HeldOutRequest
from llmrec.ranking.fusion import PRIOR_LLM
from llmrec.releases import Release, sealed
from llmrec.retrieval.fitting import EncoderFit
from llmrec.retrieval.training import validation_users
from llmrec.service.cli import main
from llmrec.testing import OverlapLanguageModel, WordEncoder
from tests.tiny import launched

STEPS = 10
USERS = 40


def settings(base: Path) -> dict[str, dict[str, object]]:
    return {
        "models": {"language_model": str(base), "device": "cpu", "dtype": "float32"},
        "encoder": {
            "minimum_events": 100, "dimension": 16, "layers": 1, "heads": 2, "dropout": 0.0, "batch_size": 4,
            "learning_rate": 3e-3, "epochs": 3, "max_events": 8,
        },
        "ranking": {"history_tokens": 200},
        "fit": {"calibration_users": 4},
        "learning": {
            "lists_per_user": 2, "others": 4, "rank": 2, "learning_rate": 2e-2, "epochs": 2, "trees": 8,
            "dtype": "float32", "validation_lists": 16,
        },
    }  # fmt: skip


def taken() -> list[list[Event]]:
    """What each user took: whoever took one course takes the next one."""
    starts = np.random.default_rng(0).integers(STEPS, size=USERS)
    return [[Event(f"u{user}", f"s{(start + step) % STEPS}") for step in range(6)] for user, start in enumerate(starts)]


def add_courses(rec: Recommender) -> None:
    names = ["Amber", "Birch", "Coral", "Delta", "Ember", "Fjord", "Grove", "Heath", "Islet", "Jetty"]
    rec.add_items([Item(f"s{step}", name) for step, name in enumerate(names)])


def fill(rec: Recommender) -> None:
    add_courses(rec)
    rec.add_events(event for events in taken() for event in events)


@pytest.fixture
def courses(tmp_path: Path, tiny_base: Path) -> Iterator[Recommender]:
    with Recommender.create(tmp_path / "courses", settings(tiny_base), encoder=WordEncoder()) as rec:
        fill(rec)
        yield rec


def release_of(rec: Recommender) -> Release:
    run = retrain(rec, progress=False)
    assert run is not None
    return run.release


def fit_of(rec: Recommender) -> Fit:
    return Fit(
        store=rec.store,
        catalogue=rec.catalogue(),
        settings=rec.settings,
        history=rec.history,
        ranker=None,
        checkpoint=rec.workspace.training / "encoder.safetensors",
        progress=False,
    )


def lists_of(rec: Recommender) -> CrossFit:
    fit = fit_of(rec)
    snapshot = fit.snapshot()
    return cross_fit(fit, fit.retriever(snapshot, None), snapshot, 2, 1_000)


def test_lists_come_from_a_retriever_that_has_not_seen_their_answers(
    courses: Recommender, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[dict[str, list[str]]] = []
    real = Fit._behaviour

    def watched(fit: Fit, snapshot: int) -> Iterator[list[Event]]:
        found = list(real(fit, snapshot))
        seen.append({events[0].user_id: [str(event.item_id) for event in events] for events in found})
        return iter(found)

    monkeypatch.setattr(Fit, "_behaviour", watched)
    lists = lists_of(courses)
    _, *crosses = seen
    held = validation_users([6] * USERS, [f"u{user}" for user in range(USERS)])
    assert 0 < len(held) < USERS
    asked: dict[str, list[str]] = {}
    for one in lists.requests:
        user_id = str(one.before.user and one.before.user.user_id)
        answer = str(one.candidates[one.taken].item.item_id)  # type: ignore[index]
        asked.setdefault(user_id, []).append(answer)
        assert answer not in {event.item_id for event in one.before.events}
    for user in range(USERS):
        whole = [str(event.item_id) for event in courses.store.events(f"u{user}")]
        # The newest event of a validation user is nobody's to learn from; it is hidden from all.
        known = whole[:-1] if user in held else whole
        for fold, cross in zip(lists.folds, crosses, strict=True):
            assert cross[f"u{user}"] == (known[:-2] if f"u{user}" in fold.user_ids else known)
        assert set(asked.get(f"u{user}", [])) <= set(known[-2:])
    assert lists.asked == 2 * USERS
    assert [len(fold.user_ids) for fold in lists.folds] == [USERS // 2, USERS // 2]
    assert not lists.folds[0].user_ids & lists.folds[1].user_ids
    assert sum(map(len, asked.values())) == len(lists.requests) > USERS


def test_no_more_users_are_asked_about_than_are_needed(courses: Recommender) -> None:
    fit = fit_of(courses)
    served = fit.retriever(fit.snapshot(), None)
    lists = cross_fit(fit, served, fit.snapshot(), 2, 10)
    assert 10 <= len(lists.requests) < 20
    (fold,) = lists.folds
    assert len(fold.user_ids) == lists.asked / 2 < USERS / 2
    again = cross_fit(fit, served, fit.snapshot(), 2, 10)
    assert again.folds[0].user_ids == fold.user_ids


def test_behaviour_is_told_of_a_shown_list_by_who_has_not_seen_its_answer(
    courses: Recommender, tiny_base: Path
) -> None:
    wanted = {**settings(tiny_base), "ranking": {"history_tokens": 200, "evidence": 2}}
    with Recommender.open(courses.workspace.root, wanted, encoder=WordEncoder()) as rec:
        lists = lists_of(rec)
    followed = 0
    for one in lists.requests:
        told = lists.told(one)
        assert told is not None
        assert [each.item for each in told.candidates] == [each.item for each in one.candidates]
        assert all(each.behaviour is not None for each in told.candidates)
        followed += any(each.behaviour.follows for each in told.candidates if each.behaviour)
    assert followed
    known = next(event for event in courses.store.events("u0") if event.sequence not in lists.folds[0].hidden)
    old = replace(lists.requests[0], before=replace(lists.requests[0].before, user=User("u0")), answer=known)
    assert lists.told(old) is None
    assert lists.told(replace(old, before=replace(old.before, user=User("stranger")))) is None


def test_where_users_are_offered_what_they_know_lists_hold_it_too(tmp_path: Path, tiny_base: Path) -> None:
    wanted = settings(tiny_base) | {"retrieval": {"filter_seen": False}}
    with Recommender.create(tmp_path / "again", wanted, encoder=WordEncoder()) as rec:
        fill(rec)
        rec.add_events(replace(events[0], event_id=None, timestamp=None) for events in taken())
        lists = lists_of(rec)
        known = [(one, fitting.items_of(one.before.events)) for one in lists.requests]
        assert any(one.answer.item_id in items for one, items in known)
        for one, items in known:
            # The answer is not told by being the only one that is known.
            assert {each.item.item_id for each in one.candidates} & (items - {one.answer.item_id})


def test_a_helper_of_a_retraining_without_a_language_model_has_nothing_to_do(
    courses: Recommender, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ranker_module, "await_shared", None)
    off = courses.settings.ranking.model_copy(update={"enabled": False})
    ranker_module.assist(courses.settings.model_copy(update={"ranking": off}), Path("none"))


def test_a_training_without_effect_is_refused(courses: Recommender, monkeypatch: pytest.MonkeyPatch) -> None:
    def idle(*_: object, **__: object) -> AdapterTraining:
        return AdapterTraining(step=1, gains=[0.0, 0.1], best_step=1)

    monkeypatch.setattr(ranker_module, "train_adapter", idle)
    with pytest.raises(ModelError, match="without effect"):
        retrain(courses, progress=False)


def test_a_history_ends_before_its_answer_and_holds_what_came_before(courses: Recommender) -> None:
    for one in lists_of(courses).requests:
        user_id = str(one.before.user and one.before.user.user_id)
        whole = courses.store.events(user_id)
        assert one.before.events == whole[: len(one.before.events)]
        answer = one.candidates[one.taken].item.item_id  # type: ignore[index]
        assert whole[len(one.before.events)].item_id == answer


def test_what_behaviour_says_is_learnt_from_and_served_alike(tmp_path: Path, tiny_base: Path) -> None:
    wanted = settings(tiny_base)
    wanted["ranking"] = {"history_tokens": 200, "evidence": 2}
    with Recommender.create(tmp_path / "told", wanted, encoder=WordEncoder()) as rec:
        fill(rec)
        lists = lists_of(rec)
        told = [one for request in lists.requests for one in request.candidates if one.behaviour]
        followed = {(one.item.item_id, taken.item_id) for one in told for taken, _ in one.behaviour.follows}  # type: ignore[union-attr]
        assert ("s3", "s2") in followed
        assert ("s2", "s3") not in followed
        release = release_of(rec)
        retriever, _ = rec.answering(release.version)
        history = rec.history("u0")
        found = retriever.retrieve(history, 3, excluded=history.seen).candidates
        assert any(one.behaviour and one.behaviour.follows for one in found)
        assert release.manifest["prompt"].endswith(":evidence2")
        explained = rec.explain("u0", found[0].item.item_id)
        assert np.isfinite([one.strength for one in explained.evidence]).all()
    with (
        Recommender.open(tmp_path / "told", {"ranking": {"evidence": 0}}, encoder=WordEncoder()) as rec,
        pytest.raises(ReleaseError, match="prompt"),
    ):
        rec.answering(release.version)


def test_of_too_many_lists_the_users_newest_are_learnt_from(courses: Recommender) -> None:
    lists = lists_of(courses)
    some = ranker_module._newest(lists.requests, USERS // 2)
    assert len(some) == USERS // 2
    kept = {id(one) for one in some}
    newest = {one.before.user.user_id: id(one) for one in lists.requests if one.before.user}
    assert kept <= set(newest.values())
    assert ranker_module._newest(lists.requests, 10_000) == list(lists.requests)


def test_a_retraining_makes_a_release_whose_adapter_answers(courses: Recommender) -> None:
    courses.fit()
    before = courses.recommend("u1", filter_seen=False)
    run = retrain(courses, progress=False)
    assert run is not None
    release = run.release
    assert {"adapter/adapter_config.json", "adapter/adapter_model.safetensors"} <= set(release.manifest["files"])
    found = release.manifest["metrics"]["adapter"]
    assert found["lists"] > USERS
    assert found["step"] > 0
    assert release.manifest["settings"]["learning"]["rank"] == 2
    assert run.promoted == (courses.store.aliases.now("rank") == release.version)
    assert "held-out requests" in run.reason
    courses.releases.promote(release.version)
    after = courses.recommend("u1", filter_seen=False)
    assert after.release == release.version != before.release
    llm = {one.item.item_id: one.parts["llm"] for one in after.items}
    without = {one.item.item_id: one.parts["llm"] for one in before.items}
    assert any(abs(llm[item_id] - without[item_id]) > 1e-3 for item_id in llm)
    assert not list(courses.workspace.training.glob("*.safetensors"))
    courses.releases.rollback()
    again = courses.recommend("u1", filter_seen=False)
    assert [one.item.item_id for one in again.items] == [one.item.item_id for one in before.items]
    # What was read before goes with each adapter that is loaded, and reading on rounds otherwise.
    assert [one.score for one in again.items] == pytest.approx([one.score for one in before.items], abs=1e-5)
    # Opened anew, the release gives the same scores.
    with Recommender.open(courses.workspace.root, encoder=WordEncoder()) as rec:
        rec.releases.promote(release.version)
        reopened = rec.recommend("u1", filter_seen=False)
    assert [one.score for one in reopened.items] == pytest.approx([one.score for one in after.items], abs=1e-4)


def test_what_the_gate_refuses_stays_in_the_drawer(
    courses: Recommender, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    champion = courses.fit().version
    asked: list[HeldOutRequest] = []

    def refused(
        _: Recommender, new: Release, old: Release | None, requests: list[HeldOutRequest], **__: bool
    ) -> Verdict:
        assert old is not None
        assert (new.version, old.version) == ("rank/0002", champion)
        asked.extend(requests)
        return Verdict(passed=False, reason="it is worse", users=len(requests))

    monkeypatch.setattr(retraining, "judge_release", refused)
    monkeypatch.setattr("llmrec.parts.TextEncoder.load", lambda *_, **__: WordEncoder())
    assert main(["retrain", "-w", str(courses.workspace.root), "--json"]) == 3
    told = json.loads(capsys.readouterr().out)
    assert (told["promoted"], told["reason"], told["gate"]["users"]) == (False, "it is worse", len(asked))
    assert len(asked) >= 8
    report = courses.workspace.root / "reports" / "rank-0002.json"
    assert json.loads(report.read_text())["reason"] == "it is worse"
    assert courses.recommend("u1", llm=False).release == champion
    assert main(["releases", "-w", str(courses.workspace.root), "--json"]) == 0
    listed = json.loads(capsys.readouterr().out)
    assert [(one["version"], one["live"]) for one in listed] == [(champion, True), (told["release"], False)]
    assert main(["releases", "log", "-w", str(courses.workspace.root), "--json"]) == 0
    deeds = [(one["release"], one["state"], one["why"]) for one in json.loads(capsys.readouterr().out)]
    assert deeds == [
        (champion, "made", ""), (champion, "promoted", "fit"),
        (told["release"], "made", ""), (told["release"], "rejected", "it is worse"),
    ]  # fmt: skip


def test_the_same_events_seed_and_settings_make_the_same_adapter(courses: Recommender, tmp_path: Path) -> None:
    courses.fit()
    shutil.copytree(courses.workspace.root, tmp_path / "copy")
    first = release_of(courses)
    with Recommender.open(tmp_path / "copy", encoder=WordEncoder()) as rec:
        second = release_of(rec)
        assert rec.store.last_sequence() == second.manifest["data"]["last_sequence"]
    assert second.manifest["files"]["adapter/adapter_model.safetensors"]
    # Nothing but the moment it was made tells one from the other.
    assert first.manifest["files"] == second.manifest["files"]
    assert first.manifest["data"] == second.manifest["data"]
    assert first.manifest["settings"] == second.manifest["settings"]


def test_choices_from_shown_lists_are_learnt_from_too(courses: Recommender) -> None:
    courses.fit()
    for user in range(6):
        shown = courses.recommend(f"u{user}", 4, llm=False)
        courses.feedback(Event(f"u{user}", shown.items[1].item.item_id, "like", recommendation_id=shown.id))
        courses.feedback(Event(f"u{user}", shown.items[0].item.item_id, "view"))
    found = release_of(courses).manifest["metrics"]["adapter"]
    assert found["from_shown"] > 0
    assert found["lists"] > found["from_shown"]


@pytest.mark.parametrize("part", ["adapter/adapter_model.safetensors", "adapter/adapter_config.json"])
def test_an_adapter_with_one_byte_changed_is_refused(courses: Recommender, part: str) -> None:
    release = release_of(courses)
    courses.releases.promote(release.version)
    path = release.directory / part
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(bytes(data))
    with pytest.raises(ReleaseError, match=f"{part}.*was changed"):
        courses.recommend("u1")


def test_a_release_made_elsewhere_is_taken_up_whole_or_not_at_all(
    courses: Recommender, tmp_path: Path, tiny_base: Path
) -> None:
    release = release_of(courses)
    shipped = tmp_path / "shipped"
    shutil.copytree(release.directory, shipped)
    courses.releases.promote(release.version)
    expected = [one.score for one in courses.recommend("u1").items]
    with Recommender.create(tmp_path / "other", settings(tiny_base), encoder=WordEncoder()) as rec:
        fill(rec)
        installed = rec.install(shipped)
        assert installed.version == rec.store.aliases.now("rank")
        assert [one.score for one in rec.recommend("u1").items] == pytest.approx(expected, abs=1e-5)
        broken = shipped / "adapter" / "adapter_model.safetensors"
        broken.write_bytes(broken.read_bytes()[:-1])
        with pytest.raises(ReleaseError, match="was changed"):
            rec.install(shipped)
        assert [one.version for one in rec.releases.list()] == [installed.version]
        with pytest.raises(ReleaseError, match="holds no release"):
            rec.install(tmp_path)
    other = settings(tiny_base)
    with Recommender.create(
        tmp_path / "third", other, encoder=WordEncoder(), language_model=OverlapLanguageModel()
    ) as rec:
        fill(rec)
        with pytest.raises(ReleaseError, match="another base model"):
            rec.install(release.directory)
        assert not rec.releases.list()
        assert rec.releases.champion() is None


def test_without_a_language_model_the_retriever_alone_is_fitted_again(tmp_path: Path, courses: Recommender) -> None:
    off = settings(Path(str(courses.settings.models.language_model)))
    off["ranking"] = {"enabled": False}
    with Recommender.create(tmp_path / "off", off, encoder=WordEncoder()) as rec:
        fill(rec)
        first = rec.fit()
        run = retrain(rec, progress=False)
        assert run is not None
        assert run.verdict.users > 0
        assert run.promoted is (rec.recommend("u1").release == run.release.version != first.version)
        assert not any(name.startswith("adapter/") for name in run.release.manifest["files"])


@pytest.mark.parametrize("taken", ["", "abc"])
def test_what_cannot_be_trained_says_so_and_leaves_the_live_release(
    tmp_path: Path, courses: Recommender, taken: str
) -> None:
    few = settings(Path(str(courses.settings.models.language_model)))
    with Recommender.create(tmp_path / "few", few, encoder=WordEncoder()) as rec:
        rec.add_items([Item("a", "A"), Item("b", "B"), Item("c", "C")])
        rec.add_events([Event("u", item_id) for item_id in taken])
        with pytest.raises(DataError, match="too few"):
            retrain(rec, progress=False)
    with courses.workspace.locked("test"), pytest.raises(BusyError):
        retrain(courses, progress=False)


def test_lists_are_ordered_by_evidence_too(courses: Recommender) -> None:
    lists = lists_of(courses)
    alone = lists.folds[0].retriever.with_evidence(None)
    reordered = 0
    for one in lists.requests:
        scores = [each.score for each in one.candidates]
        assert scores == sorted(scores, reverse=True)
        if one.before.user and one.before.user.user_id in lists.folds[0].user_ids:
            bare = alone.retrieve(one.before, len(scores), excluded=one.excluded).candidates
            reordered += [each.item for each in bare] != [each.item for each in one.candidates]
    assert reordered


def test_several_processes_retrain_one_workspace(tmp_path: Path, tiny_base: Path) -> None:
    wanted = {**settings(tiny_base), "models": {**settings(tiny_base)["models"], "text_encoder": "all-minilm-l6-v2"}}
    with Recommender.create(tmp_path / "courses", wanted) as rec:
        fill(rec)
    out = tmp_path / "out.json"
    script = Path(__file__).parents[2] / "scripts" / "retrain.py"
    codes = launched([str(script), "-w", str(tmp_path / "courses"), "--json", str(out)], tmp_path)
    assert out.exists(), [(tmp_path / f"{rank}.err").read_text()[-4000:] for rank in range(2)]
    told = json.loads(out.read_text())
    assert codes == [0 if told["promoted"] else 3, 0]
    with Recommender.open(tmp_path / "courses") as rec:
        (release,) = rec.releases.list()
        assert release.version == told["release"]
        assert not list(rec.workspace.training.glob("*.*"))


def test_a_running_recommender_stays_on_the_old_release_where_the_new_one_cannot_be_loaded(
    courses: Recommender, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    old = courses.fit().version
    assert courses.recommend("u1").release == old
    new = courses.fit()
    courses.releases.promote(old)  # as if the new one was never loaded here
    assert courses.recommend("u1").release == old
    path = new.directory / "encoder.safetensors"
    whole = path.read_bytes()
    path.write_bytes(whole[:-1])
    courses.store.aliases.move("rank", new.version)
    for _ in range(2):
        assert courses.recommend("u1").release == old
    assert caplog.text.count(f"{old} stays live, because {new.version} cannot be used") == 1
    path.write_bytes(whole)
    assert courses.recommend("u1").release == old  # it is not tried at every request
    monkeypatch.setattr(serving, "_TRIED_AGAIN", 0.0)
    assert courses.recommend("u1").release == new.version
    courses.releases.promote(courses.fit().version)
    assert courses.recommend("u1").release == "rank/0003"


def test_a_promotion_amid_requests_fails_none_and_each_names_its_release(courses: Recommender) -> None:
    courses.fit()
    new = release_of(courses)
    first = courses.releases.list()[0].version
    courses.releases.promote(first)
    users = [f"u{number}" for number in range(3)]
    expected = {
        (version, user): [one.score for one in courses.at(version).recommend(user, 3).items]
        for version in (first, new.version)
        for user in users
    }
    named: list[str] = []
    failed: list[BaseException] = []
    stop = threading.Event()

    def ask(user_id: str) -> None:
        while not stop.is_set():
            try:
                answer = courses.recommend(user_id, 3)
                # It is of the release that it names, and not half of each.
                assert [one.score for one in answer.items] == pytest.approx(
                    expected[str(answer.release), user_id], abs=1e-4
                )
                named.append(str(answer.release))
            except BaseException as error:  # noqa: BLE001 - whatever it is, it must not be
                failed.append(error)

    threads = [threading.Thread(target=ask, args=(user,)) for user in users]
    for thread in threads:
        thread.start()
    for version in (new.version, first) * 4 + (new.version,):
        before = len(named)
        while len(named) < before + 6 and not failed:
            time.sleep(0.01)
        courses.releases.promote(version)
    while named[-1] != new.version and not failed:
        time.sleep(0.01)
    stop.set()
    for thread in threads:
        thread.join()
    assert not failed
    assert set(named) == {first, new.version}


@pytest.mark.parametrize("name", ["../../../llmrec.toml", "/etc/passwd", "a/b/c", "..", ".hidden", "a\\\\b", ""])
def test_a_release_cannot_name_parts_outside_of_it(courses: Recommender, tmp_path: Path, name: str) -> None:
    release = courses.fit()
    shipped = tmp_path / "x" / "y" / "z" / "shipped"
    shutil.copytree(release.directory, shipped)
    manifest = json.loads((shipped / "manifest.json").read_text())
    manifest["files"][name] = "0" * 64
    (shipped / "manifest.json").write_text(json.dumps(sealed(manifest)))
    before = (courses.workspace.root / "llmrec.toml").read_bytes()
    with pytest.raises(ReleaseError, match="names a part"):
        courses.install(shipped)
    assert (courses.workspace.root / "llmrec.toml").read_bytes() == before
    assert len(courses.releases.list()) == 1


@pytest.mark.parametrize("begins", ["base", "champion"])
def test_an_adapter_that_is_no_better_than_none_is_left_out(
    courses: Recommender, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, begins: str
) -> None:
    real = ranker_module.train_adapter

    def useless(*given: object, **named: object) -> object:
        state = real(*given, **named)  # type: ignore[arg-type]
        state.best_step = 0
        return state

    monkeypatch.setattr(ranker_module, "train_adapter", useless)
    begin = {"learning": {"start": begins}}
    with Recommender.open(courses.workspace.root, begin, encoder=WordEncoder()) as rec:
        rec.fit()  # what is live has no adapter to go on from
        run = retrain(rec, anew=True, progress=False)
    assert run is not None
    release = run.release
    assert not any(name.startswith("adapter/") for name in release.manifest["files"])
    assert "no adapter was better than none" in caplog.text


def test_what_the_gate_asks_about_has_chosen_nothing(courses: Recommender, monkeypatch: pytest.MonkeyPatch) -> None:
    courses.fit()
    chosen: set[tuple[str, str]] = set()
    asked: set[tuple[str, str]] = set()
    learnt: list[int] = []
    real_train, real_judge, real_encoder = retraining.train_ranker, retraining.judge_release, fitting.fit_encoder

    def keys(requests: Sequence[HeldOutRequest]) -> set[tuple[str, str]]:
        return {(one.answer.user_id, str(one.answer.item_id)) for one in requests}

    def train(fit: Fit, fitted: FittedRetriever, snapshot: int, start: Path | None) -> TrainedRanker:
        chosen.update(keys(fitted.requests))
        return real_train(fit, fitted, snapshot, start)

    def judge(
        rec: Recommender, new: Release, old: Release | None, requests: list[HeldOutRequest], **_: bool
    ) -> Verdict:
        asked.update(keys(requests))
        return real_judge(rec, new, old, requests)

    def encoder(users: Sequence[Sequence[Event]], *given: object, **named: object) -> object:
        learnt.extend(event.sequence or 0 for user in users for event in user)
        return real_encoder(users, *given, **named)  # type: ignore[arg-type]

    monkeypatch.setattr(retraining, "train_ranker", train)
    monkeypatch.setattr(retraining, "judge_release", judge)
    monkeypatch.setattr(fitting, "fit_encoder", encoder)
    release = release_of(courses)
    assert asked
    assert chosen
    assert not asked & chosen
    withheld = set(release.manifest["data"]["withheld"])
    # Neither encoder, that of the lists to learn from included, has met the answers, in training or in validation.
    assert len(withheld) == len(asked)
    assert not withheld & set(learnt)
    assert not any(release.may_know(sequence) for sequence in withheld)


@pytest.mark.parametrize("gate_users", [4, 1_000])
def test_what_a_training_begins_with_has_not_learnt_what_validates_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, gate_users: int
) -> None:
    """Whose newest event the gate asks about, of them the live encoder held that out, and learnt the one before."""
    wanted: dict[str, Any] = {**settings(Path("none")), "ranking": {"enabled": False}}
    wanted["learning"] |= {"gate_users": gate_users}
    real, made = fitting.fit_encoder, []

    def encoder(*given: object, **named: Any) -> EncoderFit:
        made.append((real(*given, **named), named["learnt"]))  # type: ignore[arg-type]
        return made[-1][0]

    with Recommender.create(tmp_path / "courses", wanted, encoder=WordEncoder()) as rec:
        fill(rec)
        rec.fit()
        monkeypatch.setattr(fitting, "fit_encoder", encoder)
        retrain(rec, progress=False)
    ((fitted, learnt),) = made
    held = set(fitted.held_out)
    assert held
    assert learnt
    assert fitted.began_anew == (gate_users > USERS)
    assert fitted.began_anew or not held & learnt


def test_a_gate_that_fails_loses_no_training(courses: Recommender, monkeypatch: pytest.MonkeyPatch) -> None:
    def dies(*_: object, **__: object) -> Verdict:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(retraining, "judge_release", dies)
        with pytest.raises(KeyboardInterrupt):
            retrain(courses, progress=False)
    kept = {path.name for path in courses.workspace.training.iterdir()}
    crosses = {"crossfit-0-encoder.safetensors", "crossfit-1-encoder.safetensors"}
    assert {"encoder.safetensors", "adapter.safetensors", *crosses} <= kept
    steps: list[int] = []
    real = training_module._Run._step

    def counted(run: training_module._Run) -> None:
        steps.append(1)
        real(run)

    monkeypatch.setattr(training_module._Run, "_step", counted)
    assert release_of(courses).version == courses.store.aliases.now("rank")
    assert not steps
    assert not list(courses.workspace.training.iterdir())


def test_a_champion_that_knows_a_deleted_user_need_not_be_beaten_but_is_no_way_around_the_gate(
    courses: Recommender, monkeypatch: pytest.MonkeyPatch
) -> None:
    courses.fit()
    courses.forget("u1")
    begun: list[Path | None] = []
    train = retraining.train_ranker

    def seen(fit: Fit, fitted: FittedRetriever, snapshot: int, start: Path | None) -> TrainedRanker:
        begun.append(start)
        return train(fit, fitted, snapshot, start)

    monkeypatch.setattr(retraining, "train_ranker", seen)
    run = retrain(courses, progress=False)
    assert run is not None
    assert begun == [None]  # what may know somebody who was deleted is not gone on from
    assert run.release.manifest["data"]["withheld"]
    assert {check.name for check in run.verdict.checks} == {
        "quality", "exposure", "calibration", "latency", "safety"
    }  # fmt: skip
    assert "may have learnt from somebody who was deleted" in run.reason
    assert run.promoted
    (passed,) = (one for one in courses.releases.log() if one.state == "passed")
    assert passed.why == run.reason


def test_what_was_learnt_before_is_not_learnt_again_unless_it_is_wanted(courses: Recommender) -> None:
    courses.fit()
    first = retrain(courses, progress=False)  # a fit is no retraining
    assert first is not None
    with pytest.raises(NothingNewError, match=f"0 new events came since {first.release.version}"):
        retrain(courses, progress=False)
    courses.add_events([Event("u1", "s3", "impression")])
    with pytest.raises(NothingNewError):
        retrain(courses, progress=False)
    before = len(courses.releases.list())
    assert retrain(courses, anew=True, progress=False) is not None
    courses.add_events([Event("u1", "s3", "like")])
    assert retrain(courses, progress=False) is not None
    assert len(courses.releases.list()) == before + 2


def test_a_run_that_was_killed_before_its_release_went_live_is_done_again(
    courses: Recommender, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(courses.releases, "succeed", None)  # whoever calls it dies
    with pytest.raises(TypeError):
        retrain(courses, progress=False)
    monkeypatch.undo()
    assert [one.state for one in courses.releases.log()] == ["made", "passed"]
    run = retrain(courses, progress=False)
    assert run is not None
    assert run.promoted


def test_a_given_encoder_is_refused_where_answers_are_withheld(courses: Recommender) -> None:
    courses.fit()
    encoder = courses._serving.previous_encoder()
    assert encoder is not None
    with pytest.raises(ConfigError, match="may know the held-out answers"):
        retrain(courses, encoder=encoder, progress=False)


def test_a_given_encoder_that_does_not_know_an_item_is_refused(courses: Recommender) -> None:
    courses.fit()
    encoder = courses._serving.previous_encoder()
    assert encoder is not None
    courses.add_items([Item("new", "Kiosk")])
    courses.add_events([Event("u1", "new")])
    with pytest.raises(ConfigError, match="not trained on item 'new'"):
        courses.make_release("fit", lambda _: None, encoder=encoder)


def test_other_settings_of_learning_are_something_new_though_no_adapter_was_kept(courses: Recommender) -> None:
    wanted = {**settings(Path("none")), "ranking": {"enabled": False}}
    with Recommender.open(courses.workspace.root, wanted, encoder=WordEncoder()) as rec:
        assert "learning" not in rec.fit().manifest["settings"]
        run = retrain(rec, progress=False)
        assert run is not None
        assert run.release.manifest["settings"]["learning"]["rank"] == 2
        with pytest.raises(NothingNewError):
            retrain(rec, progress=False)
    wanted["learning"] = {**wanted["learning"], "rank": 4}  # type: ignore[dict-item]
    with Recommender.open(courses.workspace.root, wanted, encoder=WordEncoder()) as rec:
        assert retrain(rec, progress=False) is not None


def test_the_script_for_timers_says_what_came_of_it_and_checks_first_that_it_can(
    courses: Recommender, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("llmrec.parts.TextEncoder.load", lambda *_, **__: WordEncoder())
    monkeypatch.syspath_prepend(Path(__file__).parents[2] / "scripts")
    import retrain as script

    def ran(*given: str) -> int:
        monkeypatch.setattr(sys, "argv", ["retrain.py", "-w", str(courses.workspace.root), *given])
        return int(script.main())

    assert ran("--json", str(tmp_path)) == 2
    assert "is a directory" in capsys.readouterr().err
    assert not courses.releases.list()
    retrain(courses, progress=False)
    out = tmp_path / "new" / "out.json"
    assert ran("--json", str(out)) == 0
    assert json.loads(out.read_text())["release"] is None
    assert ran("--task", "answer") == 2
    assert "thumbs on reasons are too few" in capsys.readouterr().err


def test_what_went_live_meanwhile_stays_live_where_there_was_nothing_to_compare_with(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wanted = {**settings(Path("none")), "ranking": {"enabled": False}}
    real = retraining.judge_release
    with Recommender.create(tmp_path / "plain", wanted, encoder=WordEncoder()) as rec:
        fill(rec)
        other = rec.make_release("other", lambda _: None, progress=False).version

        def meanwhile(*given: object, **options: bool) -> Verdict:
            rec.releases.promote(other)
            return real(*given, **options)  # type: ignore[arg-type]

        monkeypatch.setattr(retraining, "judge_release", meanwhile)
        run = retrain(rec, progress=False)
        assert run is not None
        assert not run.promoted
        assert "meanwhile" in run.reason
        assert rec.releases.live() == other
        assert [one.state for one in rec.releases.log() if one.release == run.release.version][-1] == "rejected"
        report = json.loads((rec.workspace.reports / f"{run.release.version.replace('/', '-')}.json").read_bytes())
        assert not report["passed"]


def test_the_workspace_before_a_subcommand_is_the_one_that_is_meant(
    courses: Recommender, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = courses.fit().version, courses.fit().version
    monkeypatch.setattr("llmrec.parts.TextEncoder.load", lambda *_, **__: WordEncoder())
    root = str(courses.workspace.root)
    assert main(["releases", "-w", root, "--json", "promote", first]) == 0
    assert json.loads(capsys.readouterr().out) == {"release": first}
    assert courses.store.aliases.now("rank") == first
    assert main(["releases", "rollback", "-w", root]) == 0
    assert courses.store.aliases.now("rank") == second
    # So is the task: what words reasons is another matter than what ranks.
    assert main(["releases", "--task", "answer", "-w", root, "rollback"]) == 2
    assert "answer" in capsys.readouterr().err
    assert courses.store.aliases.now("rank") == second
    capsys.readouterr()
    assert main(["releases", "--task", "answer", "-w", root, "--json", "log"]) == 0
    assert json.loads(capsys.readouterr().out) == []


def test_a_page_that_cannot_be_written_is_told_before_a_replay(
    courses: Recommender, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("llmrec.learning.replay", None)
    assert main(["replay", "--html", str(tmp_path), "-w", str(courses.workspace.root)]) == 2
    assert "is a directory" in capsys.readouterr().err


def test_a_timer_that_finds_nothing_new_has_not_failed(
    courses: Recommender, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("llmrec.parts.TextEncoder.load", lambda *_, **__: WordEncoder())
    retrain(courses, progress=False)
    root = str(courses.workspace.root)
    assert main(["retrain", "-w", root, "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["release"] is None
    assert "0 new events" in told["reason"]
    assert main(["retrain", "-w", root]) == 0
    assert "--anew" in capsys.readouterr().err
    assert len(courses.releases.list()) == 1


def test_an_evolving_adapter_begins_with_the_live_one(
    tmp_path: Path, tiny_base: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun: list[bytes] = []
    real = LoraLearner.begin_with

    def watched(learner: LoraLearner, directory: Path) -> None:
        begun.append((directory / WEIGHTS).read_bytes())
        real(learner, directory)

    counted: list[tuple[float, int]] = []

    def trained(learner: LoraLearner, lessons: Lessons, options: AdapterOptions, **given: Any) -> AdapterTraining:
        counted.append((options.weight, options.validations))
        return train_adapter(learner, lessons, options, **given)

    monkeypatch.setattr(LoraLearner, "begin_with", watched)
    monkeypatch.setattr("llmrec.learning.ranker.train_adapter", trained)
    wanted = settings(tiny_base)
    # The gate asks few: were it most of those who validate, the training would begin anew.
    wanted["learning"] |= {"start": "champion", "pull": 1.0, "least_events": 0, "validations": 2, "gate_users": 4}
    with Recommender.create(tmp_path / "courses", wanted, encoder=WordEncoder()) as rec:
        fill(rec)
        first = release_of(rec)
        assert begun == []
        assert rec.releases.champion() == first
        release_of(rec)
        adapter = first.folder("adapter")
        assert begun == ([] if adapter is None else [(adapter / WEIGHTS).read_bytes()])
        assert adapter is not None
        # The first begins as a fusion does that has seen no list, the second with what the live one counts.
        assert counted == [(PRIOR_LLM, 2), (first.part("fusion.json")["llm_weight"], 2)]


def test_manifest_and_stored_events_are_enough_to_repeat_a_run(courses: Recommender, tmp_path: Path) -> None:
    first = courses.fit()
    run = release_of(courses)
    assert "adapter/adapter_model.safetensors" in run.manifest["files"]
    courses.feedback(Event("u1", "s9", "like"))  # later events change nothing
    told = run.manifest
    kept = sorted(courses.store.events_by_user(), key=lambda one: one.sequence or 0)
    known = [replace(one, sequence=None) for one in kept if (one.sequence or 0) <= told["data"]["last_sequence"]]
    wanted = {**told["settings"], "models": settings(Path(told["base_model_name"]))["models"]}
    wanted["models"]["language_model"] = courses.settings.models.language_model
    with Recommender.create(tmp_path / "again", wanted, encoder=WordEncoder()) as rec:
        rec.add_items(courses.items())
        rec.add_events(known)
        shutil.copytree(first.directory, rec.workspace.releases / told["parent"])
        rec.releases.promote(told["parent"])
        again = release_of(rec)
    assert again.manifest["files"] == told["files"]
    assert again.manifest["data"] == told["data"]


def test_what_scrubs_free_text_is_missed_before_anything_is_fitted(
    courses: Recommender, monkeypatch: pytest.MonkeyPatch
) -> None:
    scrubbing.scrubber.cache_clear()
    monkeypatch.setattr(scrubbing, "find_spec", lambda _: None)
    monkeypatch.setattr(courses, "make_release", None)
    learning = courses.settings.learning.model_copy(update={"free_text": True})
    monkeypatch.setattr(courses, "settings", courses.settings.model_copy(update={"learning": learning}))
    with pytest.raises(MissingExtraError, match="presidio-analyzer"):
        retrain(courses)
