"""What is known of a user: told, corrected, or forgotten where they wish."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace

from llmrec.chat.lists import narrow
from llmrec.chat.profile import profile_of
from llmrec.chat.turn import Turn, attributes_of
from llmrec.chat.understanding import Wish
from llmrec.chat.undoing import take_back
from llmrec.records import Event
from llmrec.words import Named

__all__ = ["tell_or_correct"]

_FORGET = re.compile(r"\b(?:forget|delete|remove|erase|clear)\b", re.IGNORECASE)
_ABOUT = re.compile(r"\b(?:about|of|on|regarding|concerning)\s+(?!me\b|it all\b)\w", re.IGNORECASE)
_EVERYTHING = re.compile(r"\b(?:everything|all)\b", re.IGNORECASE)
_HISTORY = re.compile(r"\bhistory\b", re.IGNORECASE)
_CORRECTION = re.compile(r"\b(?:wrong|not true|correct|false|don'?t like|do not like|isn'?t true)\b", re.IGNORECASE)


def tell_or_correct(turn: Turn, wish: Wish) -> None:
    """Say what is known; or go by a correction of it, or forget some of it."""
    if _CORRECTION.search(wish.text) and wish.mentions.values:
        narrow(turn, replace(wish.mentions, bounds=()))
    elif _FORGET.search(wish.text):
        _forget(turn, wish)
    else:
        history = turn.recommender.history(turn.user_id)
        said = turn.recommender.comments(turn.user_id)
        lines = profile_of(history, turn.items, turn.state.constraints, said)
        turn.say("profile", lines=[line.text for line in lines])


def _forget(turn: Turn, wish: Wish) -> None:
    subjects, values = turn.subjects(wish.mentions), wish.mentions.values
    everything = bool(_EVERYTHING.search(wish.text)) and not subjects and not values
    if everything and _ABOUT.search(wish.text):
        # “Everything I said about …” what is not understood is not everything.
        turn.ask_which()
        return
    whole = bool(_HISTORY.search(wish.text))
    known = (*turn.recommender.history(turn.user_id).events, *turn.recommender.comments(turn.user_id))
    gone = [
        event
        for event in {one.event_id: one for one in known}.values()
        if event.event_id and _is_meant(turn, event, subjects, values, everything=everything, whole=whole)
    ]
    if subjects:
        turn.talk_of(subjects[-1])
    if gone:
        _delete(turn, gone)
    if values or everything:
        _lift(turn, values, everything=everything)
    if not turn.actions:
        turn.say("taken_back", what="")


def _delete(turn: Turn, gone: Sequence[Event]) -> None:
    take_back(turn, [str(event.event_id) for event in gone])
    titles = dict.fromkeys(turn.title(event.item_id) for event in gone if event.item_id)
    about = f" about {', '.join(titles)}" if titles else ""
    turn.did("deleted", f"deleted {len(gone)} of your entries{about}")


def _lift(turn: Turn, values: Sequence[Named], *, everything: bool) -> None:
    """Lift the conditions that what is forgotten came to."""
    before = turn.state.constraints
    names = [one.attribute for one in before.limits] if everything else []
    lifted = before.without(before.values if everything else values, names)
    if lifted != before:
        turn.hold(constraints=lifted)
        turn.did("unfiltered", "lifted what you asked for there")


def _is_meant(
    turn: Turn, event: Event, subjects: Sequence[str], values: Sequence[Named], *, everything: bool, whole: bool
) -> bool:
    """Whether somebody who says “forget that” of some items or values means this event."""
    if event.item_id in subjects:
        return whole or event.kind in ("comment", "rating", "like", "dislike", "hide")
    if event.kind not in ("comment", "search") and not (event.kind in ("like", "dislike") and values):
        return False
    if everything:
        return bool(event.text)
    said = turn.recommender.opinion(event.text).values if event.text else ()
    spoken = {(named.attribute, named.value) for named, _ in said}
    item = turn.items.get(event.item_id or "")
    held = set(attributes_of(item)) if item else set()
    return any((one.attribute, one.value) in spoken | held for one in values)
