"""Feedback acts on the next request, on that of its user alone."""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from llmrec import Event, Recommender
from llmrec.errors import DataError, StoreError, UnknownItemError
from llmrec.service.cli import main
from llmrec.testing import OverlapLanguageModel, WordEncoder
from tests.conftest import open_shop


def scores(rec: Recommender, user_id: str, **given: object) -> dict[str, float]:
    answer = rec.recommend(user_id, 8, llm=False, filter_seen=False, **given)  # type: ignore[arg-type]
    return {one.item.item_id: one.score for one in answer.items}


def test_a_dislike_pushes_away_what_is_like_it_and_no_one_elses_list_changes(shop: Recommender) -> None:
    before, others = scores(shop, "ann"), scores(shop, "bob")
    shop.feedback(Event("ann", "spade", "dislike"))
    answer = shop.recommend("ann", 8, llm=False, filter_seen=False)
    parts = {one.item.item_id: dict(one.parts) for one in answer.items}
    assert parts["spade"]["feedback"] < parts["hose"]["feedback"] < 0  # both are garden things
    assert "feedback" not in parts["pan"]
    for one in answer.items:
        assert one.score == pytest.approx(sum(one.parts.values()))
    assert scores(shop, "ann")["spade"] < before["spade"]
    assert scores(shop, "bob") == others


def test_what_is_hidden_stays_away_until_it_is_wanted_again(shop: Recommender) -> None:
    shop.feedback(Event("ann", "pan", "hide"))
    assert "pan" not in scores(shop, "ann")
    assert "pan" not in scores(shop, "ann", where={"room": "kitchen"})
    for _ in range(3):
        shop.feedback(Event("ann", "pot", "view"))
        assert "pan" not in scores(shop, "ann")
    shop.feedback(Event("ann", "pan", "unhide"))
    assert "pan" in scores(shop, "ann")
    assert shop.history("ann").hidden == frozenset()


def test_hidden_things_are_remembered_behind_a_long_history(shop: Recommender) -> None:
    limit = shop.settings.retrieval.history_events
    start = datetime(2025, 1, 1, tzinfo=UTC)
    shop.feedback(Event("ann", "pan", "hide", timestamp=start))
    shop.add_events(
        [Event("ann", "pot", "view", timestamp=start + timedelta(hours=place + 1)) for place in range(limit)]
    )
    assert all(event.kind == "view" for event in shop.history("ann").events)
    assert "pan" not in scores(shop, "ann")


def test_the_explanation_names_what_was_turned_down(shop: Recommender) -> None:
    shop.feedback(Event("ann", "spade", "dislike"))
    why = shop.explain("ann", "hose")
    against = next(one for one in why.evidence if one.kind == "event" and "did not like" in one.text)
    assert against.strength < 0
    part = next(one for one in why.evidence if one.kind == "part" and one.text == "feedback")
    assert part.strength < 0
    assert "what you turned down" in why.text


def test_what_is_recommended_is_kept_with_what_was_known_then(shop: Recommender) -> None:
    answer = shop.recommend("ann", 3)
    kept = shop.store.shown.get(answer.id)
    assert kept is not None
    assert (kept.user_id, kept.release, kept.prompt) == ("ann", answer.release, answer.trace.prompt_fingerprint)
    assert [(one.item_id, one.score, one.parts) for one in kept.items] == [
        (one.item.item_id, one.score, dict(one.parts)) for one in answer.items
    ]
    assert kept.last_sequence == shop.store.last_sequence()
    before = shop.store.last_sequence()
    shop.feedback(Event("ann", kept.items[0].item_id, "click", recommendation_id=answer.id))
    assert kept.last_sequence == before < shop.store.last_sequence()
    assert [one.recommendation_id for one in shop.store.shown] == [answer.id]


def test_lists_are_read_page_by_page_user_after_user(shop: Recommender, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("llmrec.data.shown._PAGE", 2)
    answers = [shop.recommend(user_id, 2, llm=False) for user_id in ("bob", "ann", "bob", "ann", "ann")]
    found = [(one.user_id, one.recommendation_id) for one in shop.store.shown]
    expected = [(answer.user_id, answer.id) for answer in answers]
    assert sorted(found) == sorted(expected)
    assert [user_id for user_id, _ in found] == ["ann"] * 3 + ["bob"] * 2


def test_a_list_that_cannot_be_kept_is_answered_all_the_same(
    shop: Recommender, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise StoreError("the disk is full", hint="free some space")

    monkeypatch.setattr(shop.store.shown, "keep", full)
    answer = shop.recommend("ann", 3, llm=False)
    assert answer.items
    assert any("was not kept" in note for note in answer.trace.notes)


def test_an_answer_to_somebody_elses_list_or_to_what_it_did_not_hold_is_refused(shop: Recommender) -> None:
    answer = shop.recommend("ann", 2, llm=False)
    held = [one.item.item_id for one in answer.items]
    other = next(item.item_id for item in shop.items() if item.item_id not in held)
    events = shop.store.counts()["events"]
    with pytest.raises(DataError, match="was made for 'ann', not for 'bob'"):
        shop.feedback(Event("bob", held[0], "click", recommendation_id=answer.id))
    with pytest.raises(DataError, match=f"did not hold item '{other}'") as caught:
        shop.feedback(Event("ann", other, "click", recommendation_id=answer.id))
    assert "leave recommendation_id out" in caught.value.hint
    assert shop.store.counts()["events"] == events
    shop.feedback(Event("ann", held[0], "click", recommendation_id="of another system"))
    shop.feedback(Event("ann", text="no more of these", kind="comment", recommendation_id=answer.id))


def test_the_same_feedback_twice_in_a_moment_is_kept_once(shop: Recommender) -> None:
    first = shop.feedback(Event("ann", "pan", "click"))
    assert shop.feedback(Event("ann", "pan", "click")) == first
    assert shop.feedback(Event("ann", "pan", "click", event_id="mine")) != first
    assert shop.feedback(Event("ann", "pan", "like")) != first
    later = datetime.now(UTC) + timedelta(seconds=2)
    assert shop.feedback(Event("ann", "pan", "click", timestamp=later)) != first
    assert shop.feedback(Event("bob", "pan", "click")) != first


def test_bursts_may_be_kept_and_lists_forgotten(tmp_path: Path) -> None:
    settings = {"feedback": {"burst_seconds": 0, "record": False}}
    with open_shop(tmp_path / "shop") as rec:
        rec.fit()
        root = rec.workspace.root
    with Recommender.open(root, settings, encoder=WordEncoder(), language_model=OverlapLanguageModel()) as rec:
        assert rec.feedback(Event("ann", "pan", "click")) != rec.feedback(Event("ann", "pan", "click"))
        rec.recommend("ann", 2, llm=False)
        assert not list(rec.store.shown)


def test_a_user_who_is_forgotten_is_gone_and_the_next_fit_begins_without_them(
    shop: Recommender, capsys: pytest.CaptureFixture[str]
) -> None:
    answer = shop.recommend("ann", 2, llm=False)
    shop.feedback(Event("ann", answer.items[0].item.item_id, "like", recommendation_id=answer.id))
    events, bobs = shop.store.counts()["events"], shop.store.events("bob")
    assert shop.forget("ann") == {"events": 4, "recommendations": 1, "turns": 0, "users": 1}
    assert shop.store.counts()["events"] == events - 4
    assert shop.store.user("ann") is None
    assert shop.store.shown.get(answer.id) is None
    assert shop.store.events("bob") == bobs
    assert shop._serving.previous_encoder() is None
    with pytest.raises(DataError, match="there is no user 'ann'"):
        shop.forget("ann")
    (before,) = shop.releases.list()
    assert before.made_before(shop.store.last_forgotten())
    assert not shop.fit().made_before(shop.store.last_forgotten())
    assert main(["releases", "-w", str(shop.workspace.root), "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert [one["learnt_from_deleted"] for one in told] == [True, False]
    assert main(["forget", "bob", "-w", str(shop.workspace.root), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["events"] == 3
    assert main(["forget", "bob", "-w", str(shop.workspace.root)]) == 2


def test_drawn_places_are_kept_with_their_propensities(tmp_path: Path) -> None:
    with open_shop(tmp_path / "shop") as rec:
        rec.fit()
        root = rec.workspace.root
    parts = {"encoder": WordEncoder(), "language_model": OverlapLanguageModel()}
    with Recommender.open(root, {"feedback": {"exploration": 0.5}}, **parts) as rec:
        orders = set()
        for _ in range(10):
            answer = rec.recommend("ann", 3, llm=False, filter_seen=False)
            shown = rec.store.shown.get(answer.id)
            assert shown is not None
            assert [one.item_id for one in shown.items] == [one.item.item_id for one in answer.items]
            assert all(one.propensity is not None and 0 < one.propensity <= 1 for one in shown.items)
            assert any("places are drawn" in note for note in answer.trace.notes)
            orders.add(tuple(one.item_id for one in shown.items))
        assert len(orders) > 1


def test_several_are_stored_all_or_none(shop: Recommender) -> None:
    before = shop.store.counts()["events"]
    with pytest.raises(UnknownItemError):
        shop.feedback_many([Event("ann", "pan", "click"), Event("ann", "sofa", "click")])
    with pytest.raises(DataError, match="no Event"):
        shop.feedback_many([Event("ann", "pan", "click"), "pan"])  # type: ignore[list-item]
    assert shop.store.counts()["events"] == before
    kept = shop.feedback_many(Event("ann", item, "click", event_id=item) for item in ("pan", "pot"))
    assert [event.event_id for event in kept] == ["pan", "pot"]
    assert shop.store.counts()["events"] == before + 2
