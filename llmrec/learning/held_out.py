"""Answers for the gate: events that a new release is made without, so that nothing of it was chosen by them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from llmrec.fitting import Fit, items_of
from llmrec.records import History
from llmrec.releases import Release
from llmrec.retrieval.training import HELD_OUT_BELOW, HELD_OUT_FROM, VALIDATION_USERS, held_out_key

__all__ = ["held_out_histories"]

_LOOKED_AT = 20
"""Users looked at for one that is wanted: in a large store few have done something since the last release."""
_OF_ONE_USER = 3
_ENOUGH = 50
"""Requests of accounts that were there before, from which on no others are asked about."""
_OF_ONE_ITEM = 0.02
_LEAST = 2
"""One item is the answer of so many requests at most: whoever makes many users take it does not choose the answers."""


def held_out_histories(fit: Fit, snapshot: int, champion: Release, most: int) -> list[History]:
    """Histories whose newest event is withheld from the release that is being made.

    They are of users whose newest event no encoder learns from, which a hash of the id decides, so that the encoder it
    begins with has not learnt it either. The event before it takes its place in the training's own validation, unless
    that encoder has learnt it (`Fit.learnt`). Where there are few users, those before it that came after the champion
    are asked about as well.

    Of accounts that the champion knew alone, where there are enough of them: accounts that were made since, be it to
    that end, then have no say in what is better. Answers that the champion cannot know come first; the others can be
    compared too, on the challenger's lists.

    Args:
        fit: The fit, which knows everything yet.
        snapshot: The last event to know of.
        champion: The release to beat.
        most: How many are wanted.
    """
    found = list(_candidates(fit, snapshot, champion, _LOOKED_AT * most))
    trusted = [one for one in found if any(champion.may_know(event.sequence or 0) for event in one.events[:-1])]
    asked = trusted if len(trusted) >= _ENOUGH else found
    earlier = [one for history in asked for one in _earlier(fit, history, champion)]
    kept, answers = list[History](), Counter[str | None]()
    for history in (*sorted(asked, key=lambda one: champion.may_know(one.events[-1].sequence or 0)), *earlier):
        answer = history.events[-1].item_id
        if answers[answer] < max(_LEAST, int(_OF_ONE_ITEM * most)) and len(kept) < most:
            answers[answer] += 1
            kept.append(history)
    return kept


def _earlier(fit: Fit, history: History, champion: Release) -> Iterator[History]:
    """The same user's history before their newest events, as far as the champion cannot know what it ends with."""
    for fewer in range(1, _OF_ONE_USER):
        events, later = history.events[:-fewer], items_of(history.events[-fewer:])
        # Who takes the same again later, or rates it, says the answer to whoever learns from that.
        if not fit.foretells(events) or events[-1].item_id in later or champion.may_know(events[-1].sequence or 0):
            continue
        seen = history.seen - (items_of(history.events) - items_of(events))
        yield History(history.user, events, seen, history.known - fewer)


def _candidates(fit: Fit, snapshot: int, champion: Release, most: int) -> Iterator[History]:
    keys = {held_out_key(user_id): user_id for user_id in fit.store.users_with_history(2)}
    for place, key in enumerate(sorted(key for key in keys if key < HELD_OUT_BELOW)[:most]):
        history = fit.foretelling(keys[key], snapshot)
        if history is not None and _is_unlearnt(history, place, champion):
            yield history


def _is_unlearnt(history: History, place: int, champion: Release) -> bool:
    """Whether the champion's encoder, which the training may go on from, has not learnt the answer.

    It was made without it, or has held it out: of the first users in the order of their keys, where they had enough.
    """
    known = [event for event in history.events if champion.may_know(event.sequence or 0)]
    if history.events[-1] not in known:
        return True
    return place < VALIDATION_USERS and sum(event.is_taking for event in known) >= HELD_OUT_FROM
