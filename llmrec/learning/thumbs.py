"""What users thought of reasons: rated replies as examples of how reasons should be worded.

Only what the language model worded is learnt from: it would not have begun as the template does, nor been told what the
template says. Left out are users who keep out of learning, reasons that quote free text, and reasons that rest on
something the user took back since.
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
"""One user of so many is held out."""


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
    rated = [one for one in store.turns.rated() if one.number > since and one.explained.get("by_model")]
    may_teach = {user_id: _teaches(store, user_id) for user_id in {one.user_id for one in rated}}
    events = {user_id: store.events(user_id) for user_id, may in may_teach.items() if may}
    found = [one for one in rated if may_teach[one.user_id] and _may_be_told(one, events[one.user_id])]
    answers = [answer for answer in (_answer(one, named) for one in found) if answer.facts.events]
    return _newest(answers, quota)


def _newest(answers: Sequence[RatedAnswer], quota: int) -> list[RatedAnswer]:
    """So many of each user at most."""
    users: Counter[str] = Counter()
    kept: list[RatedAnswer] = []
    for answer in reversed(answers):
        users[answer.user_id] += 1
        if users[answer.user_id] <= quota:
            kept.append(answer)
    return kept[::-1]


def split(answers: Sequence[RatedAnswer]) -> tuple[list[RatedAnswer], list[RatedAnswer]]:
    """Those to learn from, and those held out: all of a user on one side, the same users at every run."""
    held = [_is_held(one) for one in answers]
    return (
        [one for one, out in zip(answers, held, strict=True) if not out],
        [one for one, out in zip(answers, held, strict=True) if out],
    )


def _is_held(answer: RatedAnswer) -> bool:
    return int.from_bytes(hashlib.sha256(answer.user_id.encode()).digest()[:8], "big") % _HELD == 0


def _teaches(store: Store, user_id: str) -> bool:
    return (store.user(user_id) or User(user_id)).teaches


def _may_be_told(rated: Rated, events: Sequence[Event]) -> bool:
    """Whether all events of the evidence are there still, and none quotes what the user wrote."""
    known = {event.event_id: event for event in events}
    told = [one.get("event_id") for one in rated.explained["evidence"] if one["kind"] == "event"]
    return all(one is not None and one in known and not known[one].text for one in told)


def _answer(rated: Rated, named: int) -> RatedAnswer:
    explained = rated.explained
    evidence = [Evidence(**one) for one in explained["evidence"]]
    return RatedAnswer(
        rated.number, rated.user_id, facts_of(explained["title"], evidence, named), explained["text"], rated.up
    )
