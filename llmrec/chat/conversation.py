"""A conversation: what is said is read, done, answered and kept."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, Protocol

from llmrec.chat.acting import Recommends, Speaker
from llmrec.chat.reply import Reply, State
from llmrec.chat.understanding import Understanding
from llmrec.errors import DataError
from llmrec.records import Item

__all__ = ["Chat", "Keeps"]

_LOCKS = [threading.Lock() for _ in range(64)]
"""Two turns of one conversation come one after the other."""
_LONGEST = 2_000
"""Characters of an utterance that are read and kept."""


class Keeps(Protocol):
    """Where conversations are kept."""

    def keep(
        self,
        user_id: str,
        conversation_id: str,
        *,
        said: str,
        answered: str,
        actions: list[str],
        state: dict[str, Any],
        explained: dict[str, Any] | None = None,
    ) -> int:
        """Keep one turn; its number."""

    def thumb(self, user_id: str, conversation_id: str, turn: int, up: bool | None) -> None:
        """Keep whether the user liked a reply."""

    def state(self, user_id: str, conversation_id: str) -> dict[str, Any] | None:
        """What holds since the last turn."""

    def delete(self, user_id: str, conversation_id: str | None = None) -> int:
        """Delete the turns."""


class Chat:
    """A conversation with one user; it goes on where it was left.

    Args:
        recommender: Does what is wanted.
        user_id: Who speaks.
        conversation_id: Which of their conversations.
        read: The catalogue and what reads utterances over it, as they are now.
        words: Renders a block of chat.jinja.
        kept: Where turns are kept.
        n: How long lists are.
    """

    def __init__(
        self,
        recommender: Recommends,
        user_id: str,
        conversation_id: str,
        *,
        read: Callable[[], tuple[Mapping[str, Item], Understanding]],
        words: Callable[..., str],
        kept: Keeps,
        n: int,
    ) -> None:
        self.user_id = user_id
        self.conversation_id = conversation_id
        self._recommender = recommender
        self._read = read
        self._words = words
        self._kept = kept
        self._n = n

    @property
    def constraints(self) -> tuple[str, ...]:
        """What holds for its lists, in words."""
        return tuple(self._state().constraints.in_words())

    def send(self, text: str) -> Reply:
        """Say something; what it asks for is done before the reply comes.

        Raises:
            DataError: It is no text.
            NotFittedError: There is no release yet.
        """
        if not isinstance(text, str):
            raise DataError(f"{text!r} is no text", hint='chat.send("why the second one?")')
        said = _readable(text)
        with _LOCKS[hash((self.user_id, self.conversation_id)) % len(_LOCKS)]:
            return self._answered(said)

    def _answered(self, said: str) -> Reply:
        items, understanding = self._read()
        state = self._state()
        if state.constraints:  # an import may have left no item with such an attribute
            names = {name for item in items.values() for name in item.attributes}
            state = replace(state, constraints=state.constraints.known_to(names))
        speaker = Speaker(self._recommender, self.user_id, items, state, words=self._words, n=self._n)
        shown = tuple(item_id for item_id in state.shown if item_id in items)
        reply = speaker.answer(understanding.wishes(said, shown))
        actions = [action.text for action in reply.actions]
        turn = self._kept.keep(
            self.user_id,
            self.conversation_id,
            said=said,
            answered=reply.text,
            actions=actions,
            state=speaker.state.to_dict(),
            explained=reply.explained,
        )
        return replace(reply, turn=turn)

    def thumb(self, turn: int, up: bool | None) -> None:
        """Say whether a reply was liked; None takes that back.

        Args:
            turn: The reply's.
            up: Whether it was.

        Raises:
            DataError: There is no such turn in this conversation, or `up` is something else.
        """
        if up is not None and not isinstance(up, bool):
            raise DataError(f"{up!r} is no thumb", hint="chat.thumb(reply.turn, True), False, or None to take it back")
        self._kept.thumb(self.user_id, self.conversation_id, turn, up)

    def forget(self) -> int:
        """Delete what was said here, and what was answered; events that it made stay. How many turns there were."""
        return self._kept.delete(self.user_id, self.conversation_id)

    def _state(self) -> State:
        held = self._kept.state(self.user_id, self.conversation_id)
        return State() if held is None else State.from_dict(held)


def _readable(text: str) -> str:
    """An utterance without what is no writing, not longer than anybody writes."""
    cut = text[:_LONGEST].encode("utf-8", "replace").decode("utf-8")
    return " ".join("".join(letter if letter.isprintable() else " " for letter in cut).split())
