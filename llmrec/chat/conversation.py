"""A conversation: what is said is read, done, answered and kept."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import replace

from llmrec.chat.acting import answer
from llmrec.chat.profile import ProfileLine, profile_of
from llmrec.chat.protocols import Keeps, Recommends
from llmrec.chat.reply import Action, Reply, State, Step
from llmrec.chat.turn import Turn
from llmrec.chat.understanding import Understanding
from llmrec.errors import ConflictError, DataError
from llmrec.records import Item

__all__ = ["Chat"]

_LOCKS = [threading.Lock() for _ in range(64)]
"""Two turns of one conversation come one after the other; those of other processes are seen when a turn is kept."""
_TRIES = 3
_LONGEST = 2_000
"""Characters of an utterance that are read and kept."""


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

    def profile(self) -> list[ProfileLine]:
        """What is known of the user, each line with what it rests on."""
        items, _ = self._read()
        history, said = self._recommender.history(self.user_id), self._recommender.comments(self.user_id)
        return profile_of(history, items, self._state().constraints, said)

    def lift(self, constraint: str) -> tuple[str, ...]:
        """Let go of a constraint; those that are left, in words.

        Args:
            constraint: In words, as `constraints` has it.

        Raises:
            DataError: There is no such one.
        """
        with self._turn():
            after, state = self._kept.newest(self.user_id, self.conversation_id), self._state()
            words = state.constraints.in_words()
            if constraint not in words:
                raise DataError(f"there is no constraint {constraint!r}", hint="chat.constraints lists them")
            left, done = state.constraints.without_line(words.index(constraint)), f"lifted: {constraint}"
            # Undoing brings it back, as it does where somebody said so.
            steps = (*state.steps, Step(done, state.constraints))
            lifted = replace(state, constraints=left, steps=steps, offered=())
            reply = Reply(f"Done: {done}.", ("undo",), actions=(Action("unfiltered", done),))
            self._keep(f"(took back: {constraint})", reply, lifted, after)
        return tuple(left.in_words())

    def send(self, text: str) -> Reply:
        """Say something; what it asks for is done before the reply comes.

        Raises:
            DataError: It is no text.
            NotFittedError: There is no release yet.
        """
        if not isinstance(text, str):
            raise DataError(f"{text!r} is no text", hint='chat.send("why the second one?")')
        said = _readable(text)
        with self._turn():
            for _ in range(_TRIES - 1):
                with suppress(ConflictError):
                    return self._answered(said)
            return self._answered(said)

    def _turn(self) -> threading.Lock:
        return _LOCKS[hash((self.user_id, self.conversation_id)) % len(_LOCKS)]

    def _answered(self, said: str) -> Reply:
        items, understanding = self._read()
        after, state = self._kept.newest(self.user_id, self.conversation_id), self._state()
        if state.constraints:  # an import may have left no item with such an attribute
            names = {name for item in items.values() for name in item.attributes}
            state = replace(state, constraints=state.constraints.known_to(names))
        turn = Turn(self._recommender, self.user_id, items, state, self._words)
        shown = tuple(item_id for item_id in state.shown if item_id in items)
        reply = answer(turn, understanding.wishes(said, shown), self._n)
        try:
            number = self._keep(said, reply, turn.state, after)
        except ConflictError:
            # Another process kept a turn meanwhile: this one is done again over what holds now.
            self._recommender.take_back(self.user_id, turn.event_ids)
            raise
        return replace(reply, turn=number)

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

    def _keep(self, said: str, reply: Reply, state: State, after: int) -> int:
        return self._kept.keep(
            self.user_id,
            self.conversation_id,
            said=said,
            answered=reply.text,
            actions=[action.text for action in reply.actions],
            state=state.to_dict(),
            explained=reply.explained,
            after=after,
        )

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
