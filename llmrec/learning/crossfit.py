"""Lists to learn from: what a retriever that has not seen a user's last events would have proposed before each of them.

What is served has seen them, so its lists would hold the answers by heart. A second retriever is fitted without them;
serving uses the first one. This is the cross-fitting of Chernozhukov et al. (2018), with one fold in time.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from operator import attrgetter
from pathlib import Path

from llmrec.fitting import Fit, FittedRetriever, items_of
from llmrec.learning.transcripts import wordless
from llmrec.ranking import HeldOutRequest, judge
from llmrec.records import Event, History, User

__all__ = ["CrossFit", "cross_fit", "crossfit_checkpoint"]


@dataclass(frozen=True, slots=True)
class CrossFit:
    """Requests to learn from.

    Args:
        requests: Each with what was taken among its candidates; those of one user together, oldest first.
        asked: How many requests there were, those whose answer was no candidate included.
    """

    requests: tuple[HeldOutRequest, ...]
    asked: int


def cross_fit(fit: Fit, served: FittedRetriever, snapshot: int, lists_per_user: int) -> CrossFit:
    """Fit a retriever without each user's last events, and ask it before each of them.

    Args:
        fit: What the served retriever was fitted with.
        served: It; the events that its requests are about are for validation, and are not asked about here.
        snapshot: The last event to learn from.
        lists_per_user: How many events of a user are held out at most, and no more than half of what they took.
    """
    held = {one.before.user.user_id for one in served.requests if one.before.user}
    if served.trained is not None:
        held |= set(served.trained.held_out)
    users = [list(events) for _, events in groupby(fit.store.events_by_user(), key=attrgetter("user_id"))]
    known = [[one for one in events if _is_known(fit, one, snapshot)] for events in users]
    silent = {user.user_id for user in fit.store.users() if not user.teaches}
    known = [events for events in known if events and events[0].user_id not in silent]
    usable = [_without_newest(events) if events[0].user_id in held else events for events in known]
    firsts = [_first_held(events, lists_per_user) for events in usable]
    # A served request's answer is hidden from the second retriever too: it lies behind what is.
    hidden = {
        one.sequence for events, first in zip(known, firsts, strict=True) for one in events[first:] if one.sequence
    }
    # Not warm: the live encoder has seen the answers.
    cross = replace(fit, hidden=frozenset(hidden), checkpoint=crossfit_checkpoint(fit))
    retriever = cross.retriever(snapshot, previous=None).retriever
    histories = [
        history for events, first in zip(usable, firsts, strict=True) for history in _histories(fit, events, first)
    ]
    requests = judge(histories, retriever, fit.settings.retrieval.candidates)
    return CrossFit(tuple(one for one in requests if one.taken is not None), len(requests))


def crossfit_checkpoint(fit: Fit) -> Path:
    """A file of its own, so that the trainings of both retrievers survive an interruption."""
    return fit.checkpoint.with_name(f"crossfit-{fit.checkpoint.name}")


def _is_known(fit: Fit, event: Event, snapshot: int) -> bool:
    in_catalogue = event.item_id is None or event.item_id in fit.catalogue.items
    return event.is_behaviour and in_catalogue and (event.sequence or 0) <= snapshot


def _without_newest(events: Sequence[Event]) -> list[Event]:
    """Without the newest thing taken, and what came after it."""
    taken = _places(events)
    return list(events[: taken[-1]]) if taken else list(events)


def _first_held(events: Sequence[Event], lists_per_user: int) -> int:
    """The place of the first event that the second retriever may not see."""
    taken = _places(events)
    held = min(lists_per_user, len(taken) // 2)
    return taken[-held] if held else len(events)


def _places(events: Sequence[Event]) -> list[int]:
    return [place for place, event in enumerate(events) if event.is_taking]


def _histories(fit: Fit, events: Sequence[Event], first: int) -> Iterator[History]:
    """The history up to each event that is foretold, that one included."""
    longest = fit.settings.retrieval.history_events
    for end in range(first + 1, len(events) + 1):
        if events[end - 1].text is None and fit.foretells(events[:end]):
            user_id = events[0].user_id
            user = fit.store.user(user_id) or User(user_id)
            behaviour = tuple(wordless(events[:end]))
            yield History(user, behaviour[-longest - 1 :], items_of(events[:end]), len(behaviour))
