"""The command for conversations: `llmrec chat`."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated, Literal

import typer

import llmrec
from llmrec.errors import DataError
from llmrec.service.options import HERE, AsJson, Workspace, command, opened
from llmrec.service.printing import print_json, print_reply, print_turns, say

if TYPE_CHECKING:
    from llmrec.chat import Chat, Reply

__all__ = ["add_to"]

_PROMPT = "you> "


def add_to(app: typer.Typer) -> None:
    """Make the command known to the program."""
    app.command()(chat)


def chat(
    user: str,
    message: Annotated[
        list[str] | None,
        typer.Option("--message", "-m", help="Something to say; repeatable. Without it, line by line."),
    ] = None,
    n: Annotated[int, typer.Option("-n", help="How many items a list has.")] = 5,
    conversation: Annotated[
        str | None, typer.Option(help="Go on with this conversation; else with the user's last one, if -m is given.")
    ] = None,
    new: Annotated[bool, typer.Option("--new", help="Begin a new conversation.")] = False,
    show: Annotated[bool, typer.Option("--show", help="Print what was said in all conversations so far.")] = False,
    delete: Annotated[bool, typer.Option("--delete", help="Delete what was said in all conversations.")] = False,
    thumb: Annotated[
        Literal["up", "down", "none"] | None,
        typer.Option(help="Say whether the last reply was good; none takes that back."),
    ] = None,
    workspace: Workspace = HERE,
    as_json: AsJson = False,
) -> None:
    """Talk: ask for recommendations and reasons, say what you want and what you thought of something.

    Example: llmrec chat 42 -m "no horror please" -m "why the first one?" -w demo-ml-100k
    """
    with opened(workspace) as rec:
        if show or delete:
            _transcript(rec, user, delete=delete, as_json=as_json)
            return
        known = None if new or not (message or thumb) else rec.store.turns.latest(user)
        talk = rec.chat(user, conversation or known, n=n)
        if thumb and not message:
            _rate(rec, talk, thumb, as_json=as_json)
            return
        for text in message or _lines():
            reply = talk.send(text)
            _show(reply, as_json=as_json)
        if thumb:
            _rate(rec, talk, thumb, as_json=as_json)
    if not message and sys.stdin.isatty():
        again = command(f"chat {user} --conversation {talk.conversation_id}", workspace)
        say(f"To go on with this conversation: {again}")


def _rate(rec: llmrec.Recommender, talk: Chat, thumb: str, *, as_json: bool) -> None:
    """Rate the last reply of a conversation."""
    turns = rec.store.turns.of(talk.user_id, talk.conversation_id)
    if not turns:
        raise DataError(
            f"{talk.user_id} has no conversation yet", hint='say something first: llmrec chat USER -m "..."'
        )
    talk.thumb(turns[-1].number, {"up": True, "down": False}.get(thumb))
    if as_json:
        print_json({"turn": turns[-1].number, "thumb": thumb})
    else:
        say(f"kept: thumb {thumb} for “{turns[-1].answered.splitlines()[0][:60]}”")


def _show(reply: Reply, *, as_json: bool) -> None:
    if as_json:
        print_json(reply.to_dict())
    else:
        print_reply(reply)


def _lines() -> Iterator[str]:
    """What is typed, or comes through a pipe, until it ends."""
    if not sys.stdin.isatty():
        yield from (line for line in sys.stdin if line.strip())
        return
    say('Say what you want, such as "recommend something"; an empty line ends the conversation.')
    while True:
        try:
            line = input(_PROMPT)
        except EOFError:
            return
        if not line.strip():
            return
        yield line


def _transcript(rec: llmrec.Recommender, user: str, *, delete: bool, as_json: bool) -> None:
    if delete:
        gone = rec.store.turns.delete(user)
        if as_json:
            print_json({"deleted": gone})
        else:
            say(f"deleted {gone} turns of {user}; `llmrec forget {user}` deletes what they did too")
        return
    turns = rec.store.turns.of(user)
    if as_json:
        print_json(
            [
                {
                    "conversation_id": turn.conversation_id,
                    "time": turn.time.isoformat(),
                    "said": turn.said,
                    "answered": turn.answered,
                    "actions": list(turn.actions),
                    "turn": turn.number,
                    "thumb": turn.thumb,
                }
                for turn in turns
            ]
        )
    else:
        print_turns(turns)
