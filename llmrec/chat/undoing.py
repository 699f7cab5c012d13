"""Taking back: the last step, conditions, what was hidden."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import replace

from llmrec.chat.turn import Turn
from llmrec.chat.understanding import Wish
from llmrec.words import Named

__all__ = ["take_back", "undo"]

_ALL = re.compile(
    r"\b(?:all|everything|reset|start|clear|anew|beginning|filters?|constraints?|restrictions?|conditions?|limits?)\b",
    re.IGNORECASE,
)


def undo(turn: Turn, wish: Wish) -> None:
    """Take back what is named: what was turned down, conditions, all of them, or the last step."""
    subjects, values, constraints = turn.subjects(wish.mentions), wish.mentions.values, turn.state.constraints
    limited = _limited(turn, wish.text)
    if subjects:
        _unhide(turn, subjects)
    elif values or limited:
        _lift(turn, values, limited)
    elif _ALL.search(wish.text):
        _lift(turn, constraints.values, [one.attribute for one in constraints.limits])
    else:
        _undo_last(turn)
    if turn.actions and turn.state.shown:
        turn.hold(offered=())
        turn.want_list()


def take_back(turn: Turn, event_ids: Sequence[str]) -> None:
    """Delete events, and what could have been undone of them."""
    turn.recommender.take_back(turn.user_id, event_ids)
    gone, steps = set(event_ids), []
    for step in turn.state.steps:
        left = tuple(one for one in step.event_ids if one not in gone)
        if left or not step.event_ids:
            steps.append(replace(step, event_ids=left))
    turn.hold(steps=tuple(steps))


def _undo_last(turn: Turn) -> None:
    if not turn.state.steps:
        turn.say("taken_back", what="")
        return
    *before, step = turn.state.steps
    turn.recommender.take_back(turn.user_id, step.event_ids)
    turn.hold(constraints=step.constraints, steps=tuple(before))
    turn.did("taken_back", f"took back: {step.text}")


def _lift(turn: Turn, values: Iterable[Named], names: Iterable[str]) -> None:
    before = turn.state.constraints
    turn.hold(constraints=before.without(values, names))
    lifted = [one for one in before.in_words() if one not in turn.state.constraints.in_words()]
    if lifted:
        turn.did("unfiltered", f"no longer: {', '.join(lifted)}")
    else:
        turn.say("taken_back", what="")


def _limited(turn: Turn, text: str) -> list[str]:
    """Attributes with a limit that a text names."""
    said = text.casefold()
    return [one.attribute for one in turn.state.constraints.limits if one.attribute.casefold() in said]


def _unhide(turn: Turn, item_ids: Sequence[str]) -> None:
    history = turn.recommender.history(turn.user_id)
    found = [event for event in history.events if event.item_id in item_ids and event.is_negative and event.event_id]
    # What was hidden longer ago than a history reaches is shown again by a word of its own.
    for item_id in sorted(history.hidden.intersection(item_ids) - {event.item_id for event in found}):
        turn.keep(item_id, "unhide")
        _did_show_again(turn, item_id)
    if found:
        take_back(turn, [str(event.event_id) for event in found])
        for item_id in dict.fromkeys(str(event.item_id) for event in found):
            _did_show_again(turn, item_id)
            turn.talk_of(item_id)
    elif not turn.actions:
        turn.say("taken_back", what="")


def _did_show_again(turn: Turn, item_id: str) -> None:
    turn.did("taken_back", f"{turn.title(item_id)} may be shown again", item_id)
