"""Thumbs: kept with the reply they are about, private, and gone with it."""

import json
from itertools import count

import pytest
from typer.testing import CliRunner

from llmrec import Event, Recommender
from llmrec.errors import DataError
from llmrec.service.cli import app

_users = count()


@pytest.fixture
def user() -> str:
    return f"rater {next(_users)}"


def thumbs(rec: Recommender, user: str) -> list[bool | None]:
    return [turn.thumb for turn in rec.store.turns.of(user)]


def test_a_reply_has_a_number_and_a_thumb_is_kept_with_it(garden: Recommender, user: str) -> None:
    chat = garden.chat(user)
    first, second = chat.send("only herbs"), chat.send("why the first one?")
    assert first.turn is not None
    assert first.to_dict()["turn"] == first.turn != second.turn
    chat.thumb(second.turn, False)
    assert thumbs(garden, user) == [None, False]
    chat.thumb(second.turn, True)
    assert thumbs(garden, user) == [None, True]
    chat.thumb(second.turn, None)
    assert thumbs(garden, user) == [None, None]


def test_a_turn_of_nobody_or_of_somebody_else_is_refused(garden: Recommender, user: str) -> None:
    chat, other = garden.chat(user), garden.chat(f"{user} else")
    mine = chat.send("only herbs").turn
    theirs = other.send("only herbs").turn
    later = garden.chat(user)
    later.send("only tools")
    for talk, turn in [(chat, theirs), (chat, 10**9), (chat, 10**30), (later, mine), (chat, "first")]:
        with pytest.raises(DataError, match="no turn of this conversation") as caught:
            talk.thumb(turn, True)
        assert "reply.turn" in caught.value.hint
    assert thumbs(garden, user) == [None, None]
    assert thumbs(garden, f"{user} else") == [None]


def test_what_is_no_thumb_is_refused(garden: Recommender, user: str) -> None:
    chat = garden.chat(user)
    turn = chat.send("only herbs").turn
    with pytest.raises(DataError, match="no thumb"):
        chat.thumb(turn, "up")


def test_a_rated_reason_is_kept_with_its_evidence(garden: Recommender, user: str) -> None:
    garden.feedback(Event(user, "mint", "purchase"))
    chat = garden.chat(user)
    listed = chat.send("recommend something")
    reply = chat.send("why the first one?")
    chat.thumb(listed.turn, True)
    chat.thumb(reply.turn, True)
    (rated,) = [one for one in garden.store.turns.rated() if one.user_id == user]
    assert (rated.number, rated.up) == (reply.turn, True)
    assert rated.explained["text"] == reply.explanation.text
    (event,) = garden.store.events(user)
    kept = reply.explanation.evidence[0].to_dict()
    assert rated.explained["evidence"][0] == {**kept, "event_id": event.event_id}
    assert rated.explained["by_model"] is False


def test_what_is_taken_back_is_no_reason_that_is_kept(garden: Recommender, user: str) -> None:
    said = "the smell of xyzzyroot is lovely"
    event = garden.feedback(Event(user, "mint", "comment", text=said))
    garden.feedback(Event(user, "mint", "purchase"))
    chat = garden.chat(user)
    reply = chat.send("why the Sweet basil?")
    chat.thumb(reply.turn, True)
    assert "xyzzyroot" in json.dumps(reply.to_dict())
    garden.take_back(user, [event.event_id])
    assert not [one for one in garden.store.turns.rated() if one.user_id == user]
    assert "xyzzyroot" not in garden.store.turns.of(user)[0].answered


def test_words_taken_back_are_gone_wherever_they_stand_by_themselves(garden: Recommender, user: str) -> None:
    turns = garden.store.turns
    for said, answered in [
        ("only garden", "Here are some."),
        ("a rake", "Here are some."),
        ("what do you know of me?", "You said “smells  of xyzzyroot” about Pot of mint."),
    ]:
        turns.keep(user, f"talk of {user}", said=said, answered=answered, actions=[], state={})
    assert turns.blank(user, ["smells of xyzzyroot"]) == 1
    assert turns.blank(user, ["a"]) == 1
    assert [turn.said for turn in turns.of(user)] == ["only garden", "(deleted)", "(deleted)"]
    assert turns.of(user)[2].answered == "(deleted)"


def test_thumbs_go_with_the_conversation_and_with_the_user(garden: Recommender, user: str) -> None:
    garden.feedback(Event(user, "mint", "purchase"))
    for forget in (lambda chat: chat.forget(), lambda chat: garden.forget(user)):
        chat = garden.chat(user)
        chat.thumb(chat.send("why the Sweet basil?").turn, False)
        assert user in [one.user_id for one in garden.store.turns.rated()]
        forget(chat)
        assert user not in [one.user_id for one in garden.store.turns.rated()]


def test_the_command_rates_the_last_reply(garden: Recommender, user: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Recommender, "open", lambda *_, **__: garden)
    monkeypatch.setattr(garden, "close", lambda: None)
    run = CliRunner().invoke
    nothing = run(app, ["chat", user, "--thumb", "up"])
    assert isinstance(nothing.exception, DataError)
    garden.chat(user).send("only herbs")
    garden.chat(user).send("only tools")
    assert run(app, ["chat", user, "--thumb", "up"]).exit_code == 0
    assert thumbs(garden, user) == [None, True]
    told = run(app, ["chat", user, "--thumb", "down", "--json"]).output
    assert json.loads(told)["thumb"] == "down"
    assert run(app, ["chat", user, "-m", "only herbs", "--thumb", "up"]).exit_code == 0
    assert thumbs(garden, user) == [None, False, True]
    assert run(app, ["chat", user, "--thumb", "sideways"]).exit_code == 2
