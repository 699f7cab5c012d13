"""Lists to learn from: what a retriever that has not seen a user's last events would have proposed before each of them.

What is served has seen them, so its lists would hold the answers by heart. A second retriever is fitted without them;
serving uses the first one. This is the cross-fitting of Chernozhukov et al. (2018), with one fold in time.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from operator import attrgetter
from pathlib import Path

import numpy as np
from tqdm import tqdm

from llmrec.config import Settings
from llmrec.fitting import Fit, FittedRetriever, items_of
from llmrec.learning.scrubbing import Scrub, scrub_by
from llmrec.learning.transcripts import teachable, teachable_user
from llmrec.ranking import HeldOutRequest, judge
from llmrec.records import Event, History, User
from llmrec.retrieval import Retriever

__all__ = ["CrossFit", "cross_fit", "newest_first"]


@dataclass(frozen=True, slots=True)
class CrossFit:
    """Requests to learn from.

    Args:
        requests: Each with what was taken among its candidates; those of one user together, oldest first.
        asked: How many requests there were, those whose answer was no candidate included.
        retriever: Proposed them; it has not seen the users' last events.
    """

    requests: tuple[HeldOutRequest, ...]
    asked: int
    retriever: Retriever


def cross_fit(fit: Fit, served: FittedRetriever, snapshot: int, lists_per_user: int, most: int) -> CrossFit:
    """Fit a retriever without each user's last events, and ask it before each of them.

    Args:
        fit: What the served retriever was fitted with.
        served: It; the events that its requests are about are for validation, and are not asked about here.
        snapshot: The last event to learn from.
        lists_per_user: How many events of a user are held out at most, and no more than half of what they took.
        most: How many lists are wanted; twice as many are asked for, the users' newest, because some miss the answer.

    Raises:
        MissingExtraError: Free text is wanted, and what scrubs it is not installed.
    """
    scrub = scrub_by(fit.settings.learning)  # before anything long begins
    held = {one.before.user.user_id for one in served.requests if one.before.user}
    if served.trained is not None:
        held |= set(served.trained.held_out)
    events = (one for one in fit.store.events_to_learn_from() if _is_known(fit, one, snapshot))
    known = [list(of_user) for _, of_user in groupby(events, key=attrgetter("user_id"))]
    usable = [_without_newest(of_user) if of_user[0].user_id in held else of_user for of_user in known]
    firsts = [_first_held(of_user, lists_per_user) for of_user in usable]
    # A served request's answer is hidden from the second retriever too: it lies behind what is.
    hidden = {one.sequence for of_user, first in zip(known, firsts, strict=True) for one in of_user[first:]}
    # Not warm: the live encoder has seen the answers.
    hidden_sequences = fit.hidden | {sequence for sequence in hidden if sequence is not None}
    cross = replace(
        fit,
        settings=_crossfit_settings(fit.settings),
        hidden=hidden_sequences,
        checkpoint=crossfit_checkpoint(fit),
        encoder=None,
    )
    fitted = cross.retriever(snapshot, previous=None)
    ends = [
        (of_user, end)
        for of_user, first in zip(usable, firsts, strict=True)
        for end in range(first + 1, len(of_user) + 1)
        if fit.foretells(of_user[:end])
    ]
    ages = newest_first([of_user[0].user_id for of_user, _ in ends])
    deepest = _deepest(ages, 2 * most)
    wanted = [end for end, age in zip(ends, ages, strict=True) if age < deepest]
    bar = tqdm(wanted, desc="asking before each choice", unit="list", disable=None if fit.progress else True)
    histories = (_history(fit, of_user, end, scrub) for of_user, end in bar)
    requests = judge(histories, fitted.retriever, fit.settings.retrieval.candidates)
    hits = (one.weighed(fitted.prior_weight) for one in requests if one.taken is not None)
    return CrossFit(tuple(hits), len(requests), fitted.retriever)


def newest_first(user_ids: Sequence[str]) -> list[int]:
    """How many later ones of the same user there are, for each."""
    later: Counter[str] = Counter()
    ages = []
    for user_id in reversed(user_ids):
        ages.append(later[user_id])
        later[user_id] += 1
    return ages[::-1]


def _deepest(ages: Sequence[int], most: int) -> int:
    """The age up to which there are at most so many, and one of each user at least."""
    counts = np.cumsum(np.bincount(np.asarray(ages, dtype=np.int64), minlength=1))
    return max(1, int(np.searchsorted(counts, most, side="right")))


def _crossfit_settings(settings: Settings) -> Settings:
    """The second encoder trains as long as the first, or as `[learning] crossfit_epochs` says."""
    epochs = settings.learning.crossfit_epochs or settings.encoder.epochs
    encoder = settings.encoder.model_copy(update={"epochs": epochs})
    return settings.model_copy(update={"encoder": encoder})


def crossfit_checkpoint(fit: Fit) -> Path:
    """A file of its own, so that the trainings of both retrievers survive an interruption."""
    return fit.checkpoint.with_name(f"crossfit-{fit.checkpoint.name}")


def _is_known(fit: Fit, event: Event, snapshot: int) -> bool:
    in_catalogue = event.item_id is None or event.item_id in fit.catalogue.items
    known = (event.sequence or 0) <= snapshot and event.sequence not in fit.hidden
    return event.is_behaviour and in_catalogue and known


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


def _history(fit: Fit, events: Sequence[Event], end: int, scrub: Scrub | None) -> History:
    """The history up to an event that is foretold, that one included."""
    user_id, longest = events[0].user_id, fit.settings.retrieval.history_events
    behaviour = tuple(teachable(events[:end], scrub))
    user = teachable_user(fit.store.user(user_id) or User(user_id), scrub)
    return History(user, behaviour[-longest - 1 :], items_of(events[:end]), len(behaviour))
