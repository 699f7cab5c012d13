"""One turn: each wish is done, one after the other, and one reply says what came of them."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType

from llmrec.chat.corrections import tell_or_correct
from llmrec.chat.deeds import comment_on
from llmrec.chat.lists import filter_list, give_list, less_like, more_like, recommend
from llmrec.chat.reasons import compare, why, why_not
from llmrec.chat.reply import Reply, Step
from llmrec.chat.turn import Turn, frequent
from llmrec.chat.understanding import Wish
from llmrec.chat.undoing import undo

__all__ = ["answer"]

_MOST_STEPS = 20
_OF_A_LIST = frozenset({"why", "why_not", "compare"})
_THANKS = re.compile(r"\b(?:thanks?|thank you|merci|danke|gracias|grazie)\b", re.IGNORECASE)


def answer(turn: Turn, wishes: Sequence[Wish], n: int) -> Reply:
    """Do what is wanted, and say so; the turn's state holds what changed.

    Args:
        turn: Whose, and what holds.
        wishes: What is wanted, in order.
        n: How long lists are.
    """
    before = turn.state.constraints
    for wish in wishes:
        if wish.intent in _OF_A_LIST and not turn.state.shown:
            # Asked together with the wish for the first list, a question is about that one.
            give_list(turn, n)
        if not turn.misses(wish.mentions):
            _ACTS[wish.intent](turn, wish)
    if turn.actions:
        turn.said.insert(0, turn.words("done", actions=[one.text for one in turn.actions]))
    give_list(turn, n)
    done = [one for one in turn.actions if one.kind not in ("taken_back", "deleted")]
    if done:
        step = Step("; ".join(one.text for one in done), before, tuple(turn.event_ids))
        turn.hold(steps=(*turn.state.steps, step)[-_MOST_STEPS:])
    return Reply(
        "\n".join(turn.said),
        tuple(wish.intent for wish in wishes),
        turn.recommendation,
        turn.explanation,
        tuple(turn.actions),
        tuple(turn.state.constraints.in_words()),
    )


def _help(turn: Turn, wish: Wish) -> None:
    example = next((value for _, value in frequent(turn.items)), "…")
    turn.say("help", thanks=bool(_THANKS.search(wish.text)), example=example)


def _pass(turn: Turn, wish: Wish) -> None:
    del wish
    turn.say("other")


_ACTS: Mapping[str, Callable[[Turn, Wish], None]] = MappingProxyType(
    {
        "recommend": recommend,
        "filter": filter_list,
        "more_like": more_like,
        "less_like": less_like,
        "why": why,
        "why_not": why_not,
        "compare": compare,
        "comment": comment_on,
        "undo": undo,
        "profile": tell_or_correct,
        "help": _help,
        "other": _pass,
    }
)
"""What each intent does."""
