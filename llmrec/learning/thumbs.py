"""What users thought of reasons: rated replies as examples of how reasons should be worded.

Left out are users who keep out of learning, reasons that quote free text, and reasons that rest on something the user
took back since.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from llmrec.data import Store
from llmrec.data.turns import Rated
from llmrec.explaining import Answerer, Facts, facts_of
from llmrec.records import Event, Evidence, User

__all__ = ["RatedAnswer", "rated_answers", "split"]

_HELD = 4
"""One of so many is held out."""


@dataclass(frozen=True, slots=True)
class RatedAnswer:
    """A reason that somebody rated.

    Args:
        number: Of its turn.
        user_id: Whose.
        facts: What it was made from.
        text: Its words.
        up: Whether they liked it.
    """

    number: int
    user_id: str
    facts: Facts
    text: str
    up: bool

    def ids(self, answerer: Answerer) -> tuple[list[int], list[int]]:
        """The token ids of the prompt, and of the words behind it."""
        return answerer.prompt(self.facts), answerer.answer(self.facts, self.text)


def rated_answers(store: Store, *, named: int, quota: int, since: int = 0) -> list[RatedAnswer]:
    """The reasons that may be learnt from, oldest first.

    Args:
        store: Holds turns, users and events.
        named: How many events a reason names on either side.
        quota: So many of one user at most, the newest ones.
        since: Only turns after this one.
    """
    rated = [one for one in store.turns.rated() if one.number > since]
    may_teach = {user_id: _teaches(store, user_id) for user_id in {one.user_id for one in rated}}
    events = {user_id: store.events(user_id) for user_id, may in may_teach.items() if may}
    found = [one for one in rated if may_teach[one.user_id] and not _rests_on_words(one, events[one.user_id])]
    answers = [_answer(one, named) for one in found]
    kept: list[RatedAnswer] = []
    users: Counter[str] = Counter()
    for answer in reversed(answers):
        users[answer.user_id] += 1
        if answer.facts.events and users[answer.user_id] <= quota:
            kept.append(answer)
    return kept[::-1]


def split(answers: Sequence[RatedAnswer]) -> tuple[list[RatedAnswer], list[RatedAnswer]]:
    """Those to learn from, and those held out: by user and item, the same ones at every run."""
    held = [_is_held(one) for one in answers]
    return (
        [one for one, out in zip(answers, held, strict=True) if not out],
        [one for one, out in zip(answers, held, strict=True) if out],
    )


def _is_held(answer: RatedAnswer) -> bool:
    told = f"{answer.user_id}\0{answer.facts.title}".encode()
    return int.from_bytes(hashlib.sha256(told).digest()[:8], "big") % _HELD == 0


def _teaches(store: Store, user_id: str) -> bool:
    return (store.user(user_id) or User(user_id)).teaches


def _rests_on_words(rated: Rated, events: Sequence[Event]) -> bool:
    """Whether the evidence quotes what the user wrote, or is about something that is no event of theirs any more."""
    texts, items = [event.text for event in events if event.text], {event.item_id for event in events}
    told = [one for one in rated.explained["evidence"] if one["kind"] == "event"]
    return any(one["item_id"] not in items or any(text in one["text"] for text in texts) for one in told)


def _answer(rated: Rated, named: int) -> RatedAnswer:
    explained = rated.explained
    evidence = [Evidence(**one) for one in explained["evidence"]]
    return RatedAnswer(
        rated.number, rated.user_id, facts_of(explained["title"], evidence, named), explained["text"], rated.up
    )
