"""From thumbs on reasons to an adapter that words them: what may be learnt from, a training, a gate, a rollback."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from llmrec import Event, Item, Recommender, User
from llmrec.errors import DataError, MissingExtraError, ModelError, ReleaseError
from llmrec.explaining import Worded
from llmrec.explaining.answering import Answerer
from llmrec.learning import answer_training, answers, export_answers, retrain_answers
from llmrec.learning.thumbs import RatedAnswer, rated_answers, split
from llmrec.learning.verdict import Verdict
from llmrec.service.cli import main
from llmrec.testing import WordEncoder

USERS = 60
LIKED = "{title} is offered because you took {cause}."
TEMPLATE = """{% block answer %}Offer: {{ title }}
For it: {% for one in causes %}{{ one }}{% endfor %}{% for one in against %}{{ one }}{% endfor %}
In words:{% endblock %}
{% block begin %} {{ title }}{% endblock %}
"""
DISLIKED = "Rain Songs Rain Songs Rain Songs."


def settings(base: Path) -> dict[str, dict[str, object]]:
    return {
        "models": {"language_model": str(base), "device": "cpu", "dtype": "float32"},
        "fit": {"calibration_users": 2},
        "encoder": {"network": "none"},
        "explain": {"wording": "model"},
        "learning": {"rank": 4, "answer_thumbs": 40, "answer_learning_rate": 1e-2, "dtype": "float32"},
    }


def fill(rec: Recommender) -> None:
    rec.add_items([Item(f"i{place}", f"Walk {place}") for place in range(8)])
    rec.add_events([Event(f"u{user}", f"i{user % 4}") for user in range(USERS)])


def rate(rec: Recommender, user: int, item: int, *, up: bool, by_model: bool = True, strength: float = 1.0) -> int:
    """Keep a turn with a reason, and a thumb on it."""
    cause, title = f"Walk {user % 4}", f"Walk {item}"
    words = (LIKED if up else DISLIKED).format(title=title, cause=cause)
    event_id = next(one.event_id for one in rec.store.events(f"u{user}") if one.item_id == f"i{user % 4}")
    about = {"kind": "event", "strength": strength, "item_id": f"i{user % 4}", "text": f"took {cause}"}
    evidence = [about | {"event_id": event_id}]
    explained = {"item_id": f"i{item}", "title": title, "text": words, "by_model": by_model, "evidence": evidence}
    turn = rec.store.turns.keep(
        f"u{user}", "talk", said="why?", answered=words, actions=[], state={}, explained=explained
    )
    rec.store.turns.thumb(f"u{user}", "talk", turn, up)
    return turn


def rate_all(rec: Recommender) -> None:
    for user in range(USERS):
        rate(rec, user, 4 + user % 4, up=True)
        rate(rec, user, 4 + (user + 1) % 4, up=False)


def found(rec: Recommender, **given: int) -> list[RatedAnswer]:
    return rated_answers(rec.store, **{"named": 3, "quota": 50, **given})


@pytest.fixture
def walks(tmp_path: Path, tiny_base: Path) -> Iterator[Recommender]:
    templates = tmp_path / "walks" / "prompts"
    templates.mkdir(parents=True)
    (templates / "answer.jinja").write_text(TEMPLATE)
    with Recommender.create(tmp_path / "walks", settings(tiny_base), encoder=WordEncoder()) as rec:
        fill(rec)
        yield rec


def test_a_rated_reason_is_an_example_with_its_facts(walks: Recommender) -> None:
    rate(walks, 1, 4, up=True)
    (one,) = found(walks)
    assert (one.user_id, one.text, one.up) == ("u1", "Walk 4 is offered because you took Walk 1.", True)
    assert [cause.text for cause in one.facts.causes] == ["took Walk 1"]


def test_what_must_not_be_learnt_from_is_left_out(walks: Recommender) -> None:
    for user in range(4):
        rate(walks, user, 5, up=True)
    walks.add_users([User("u0", {"learning": False})])
    (event,) = walks.store.events("u1")
    walks.take_back("u1", [event.event_id])
    walks.feedback(Event("u1", "i1"))  # the same again is another event than the one told
    quote = walks.feedback(Event("u2", "i2", "comment", text="so good"))
    (one,) = [one for one in walks.store.turns.rated() if one.user_id == "u2"]
    evidence = [{"kind": "event", "strength": 1.0, "item_id": "i2", "text": "said", "event_id": quote.event_id}]
    walks.store.turns.delete("u2")
    turn = walks.store.turns.keep(
        "u2", "talk", said="", answered="", actions=[], state={}, explained={**one.explained, "evidence": evidence}
    )
    walks.store.turns.thumb("u2", "talk", turn, True)
    assert [one.user_id for one in found(walks)] == ["u3"]


def test_only_what_the_model_worded_is_learnt_from(walks: Recommender) -> None:
    rate(walks, 1, 5, up=True, by_model=False)
    mine = rate(walks, 1, 6, up=True)
    assert [one.number for one in found(walks)] == [mine]
    (*_, kept) = walks.store.turns.rated()
    old = {name: value for name, value in kept.explained.items() if name != "by_model"}
    walks.store.turns.delete("u1")
    turn = walks.store.turns.keep("u1", "talk", said="", answered="", actions=[], state={}, explained=old)
    walks.store.turns.thumb("u1", "talk", turn, True)
    assert found(walks) == []


def test_what_is_dropped_uses_no_quota_up(walks: Recommender) -> None:
    first = rate(walks, 1, 4, up=True)
    rate(walks, 1, 5, up=True, strength=0.0)
    rate(walks, 1, 6, up=True, by_model=False)
    assert [one.number for one in found(walks, quota=1)] == [first]


def test_the_newest_of_a_user_count_and_only_those_after_a_turn(walks: Recommender) -> None:
    turns = [rate(walks, 3, item, up=True) for item in (4, 5, 6)]
    assert [one.number for one in found(walks, quota=2)] == turns[1:]
    assert [one.number for one in found(walks, since=turns[0])] == turns[1:]


def test_the_same_reasons_are_held_out_at_every_run(walks: Recommender) -> None:
    rate_all(walks)
    taught, held = split(found(walks))
    assert len(taught) + len(held) == 2 * USERS
    assert 0.1 < len(held) / (2 * USERS) < 0.45
    rate(walks, 5, 7, up=True)
    again = split(found(walks))
    assert [one.number for one in again[1]][: len(held)] == [one.number for one in held]
    assert not {one.user_id for one in taught} & {one.user_id for one in held}


def test_thumbs_are_exported_in_the_columns_of_kto(
    walks: Recommender, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    rate(walks, 1, 4, up=True)
    rate(walks, 2, 5, up=False)
    made = export_answers(walks, tmp_path / "thumbs.jsonl")
    rows = [json.loads(line) for line in made.path.read_text().splitlines()]
    assert [row["label"] for row in rows] == [True, False]
    assert rows[0]["completion"] == " Walk 4 is offered because you took Walk 1."
    assert "Offer: Walk 4\nFor it: took Walk 1" in rows[0]["prompt"]
    assert "u1" not in made.path.read_text()
    assert made.card["labels"] == {"true": 1, "false": 1}
    monkeypatch.setattr(Recommender, "open", lambda *_, **__: walks)
    out = str(tmp_path / "again.jsonl")
    assert main(["learning", "export", out, "--task", "answer", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["rows"] == 2


def test_thumbs_teach_a_wording_that_goes_live_and_back(walks: Recommender, capsys: pytest.CaptureFixture[str]) -> None:
    walks.fit(progress=False)
    rate_all(walks)
    before = walks.answers().current()
    run = retrain_answers(walks, progress=False)
    assert capsys.readouterr().out == ""
    assert run.promoted, run.reason
    assert run.release.version == "answer/0001" == walks.store.aliases.now("answer")
    assert walks.store.aliases.now("rank") == "rank/0001"
    assert (run.verdict.comparison.low or 0) > 0
    assert "margin of liked over disliked" in run.reason
    report = json.loads((walks.workspace.root / "reports" / "answer-0001.json").read_text())
    assert report["passed"] is True
    live = walks.answers().current()
    assert live.model is not before.model
    _, held = split(found(walks))
    gains = np.array([_chance(live, one) - _chance(before, one) for one in held])
    ups = np.array([one.up for one in held])
    assert gains[ups].mean() > gains[~ups].mean()
    assert not list(walks.workspace.training.glob("answer*"))

    second = retrain_answers(walks, progress=False)  # the same thumbs again are no better than the champion
    assert not second.promoted
    assert walks.store.aliases.now("answer") == "answer/0001"
    walks.answers().releases.promote("answer/0002")
    assert main(["releases", "rollback", "--task", "answer", "-w", str(walks.workspace.root)]) == 0
    assert walks.store.aliases.now("answer") == "answer/0001"
    assert walks.explain("u1", "i5").trace.notes[-1].startswith("worded by")


def _chance(asked: Answerer, one: RatedAnswer) -> float:
    return float(asked.model.log_likelihoods([one.ids(asked)])[0])


def test_a_wording_that_says_more_beyond_the_evidence_is_refused(
    walks: Recommender, monkeypatch: pytest.MonkeyPatch
) -> None:
    rate_all(walks)
    base = walks.answers().base

    def writes(asked: Answerer, *_: object) -> Worded:
        return Worded(("So.",), () if asked.model is base.model else (("A lie.", ("the title",)),))

    monkeypatch.setattr(Answerer, "write", writes)
    run = retrain_answers(walks, progress=False)
    assert not run.promoted
    assert "wordings say more than the evidence" in run.reason
    assert walks.store.aliases.now("answer") is None
    assert run.release.version == "answer/0001"


def test_too_few_thumbs_or_of_one_kind_only_are_an_error(walks: Recommender) -> None:
    with pytest.raises(DataError, match="0 thumbs") as caught:
        retrain_answers(walks)
    assert "chat.thumb" in caught.value.hint
    for user in range(USERS):
        rate(walks, user, 5, up=True)
        rate(walks, user, 6, up=True)
    with pytest.raises(DataError, match="too few of one kind"):
        retrain_answers(walks)
    for user in range(10, USERS):
        walks.forget(f"u{user}")
    for item in (4, 7, 4, 7):
        rate(walks, 1, item, up=True)
        for user in range(10):
            rate(walks, user, item, up=False)
    with pytest.raises(DataError, match="of 10 users are too few") as caught:
        retrain_answers(walks)
    assert "at least 10" in caught.value.hint
    assert walks.answers().releases.list() == []


def test_thumbs_of_one_user_are_not_independent(walks: Recommender, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ten users who each say the same fifty times know no more than ten."""
    generator = np.random.default_rng(5)
    chances = {f"u{user}": value for user, value in enumerate(generator.normal(0.3, 1.0, 10))}
    for user in range(10):
        rate(walks, user, 5, up=user % 2 == 0)
    once = found(walks)
    base, better = walks.answers().base, Answerer(walks.answers().base.model, walks._parts.prompts)

    def judged(held: list[RatedAnswer]) -> float:
        told = iter([[chances[one.user_id] for one in held], [0.0] * len(held)])
        monkeypatch.setattr(type(base.model), "log_likelihoods", lambda *_: np.array(next(told)))
        compared = answers._margins(better, base, held)
        return (compared.high or 0.0) - (compared.low or 0.0)

    assert judged(once * 50) == pytest.approx(judged(once))


def test_a_release_that_went_live_meanwhile_stays(walks: Recommender, monkeypatch: pytest.MonkeyPatch) -> None:
    rate_all(walks)
    judge = answers.judge_answers

    def slowly(rec: Recommender, *given: object) -> Verdict:
        rec.answers().releases.promote("answer/0001")  # by somebody else, while this one is judged
        return replace(judge(rec, *given), passed=True)  # type: ignore[arg-type]

    monkeypatch.setattr(answers, "judge_answers", slowly)
    run = retrain_answers(walks, progress=False)
    assert not run.promoted
    assert "another release went live meanwhile" in run.reason


def test_what_is_missing_is_said_before_anything_is_done(walks: Recommender, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(answer_training, "find_spec", lambda _: None)
    with pytest.raises(MissingExtraError, match="trl"):
        retrain_answers(walks)
    monkeypatch.undo()
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(ModelError, match="one process"):
        answers.retrain_answers(walks)


def test_the_command_knows_the_task(walks: Recommender, capsys: pytest.CaptureFixture[str]) -> None:
    where = ["-w", str(walks.workspace.root)]
    assert main(["retrain", "--task", "answer", *where]) == 2
    assert "thumbs on reasons are too few" in capsys.readouterr().err
    assert main(["releases", "--task", "answer", *where]) == 0
    assert "retrain --task answer" in capsys.readouterr().err


def test_a_release_for_another_base_says_which_run_makes_a_new_one(walks: Recommender) -> None:
    parts, manifest = {"note": b""}, {"base_model": "another", "prompt": None, "metrics": {}, "data": {}}
    release = walks.answers().releases.create(parts, {**manifest, "began": "2026-01-01T00:00:00+00:00", "parent": None})
    with pytest.raises(ReleaseError, match="another base model") as caught:
        walks.answers().answering(release)
    assert "llmrec retrain --task answer" in caught.value.hint


@pytest.mark.parametrize("way", ["turns", "event", "unrated", "newer"])
def test_a_release_is_marked_where_a_reason_it_learnt_from_goes(walks: Recommender, way: str) -> None:
    turn = rate(walks, 1, 4, up=True)
    walks.store.turns.learnt(turn)  # as a training does
    later = rate(walks, 2, 5, up=True)
    assert later > turn
    if way == "turns":
        walks.chat("u1", "talk").forget()
    elif way == "event":
        (event,) = walks.store.events("u1")
        walks.take_back("u1", [str(event.event_id)])
    elif way == "unrated":
        walks.store.turns.thumb("u1", "talk", turn, None)
        walks.chat("u1", "talk").forget()
    else:
        walks.chat("u2", "talk").forget()
    assert (walks.store.last_forgotten() is not None) == (way in ("turns", "event"))
