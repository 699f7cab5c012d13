"""Lists to learn from: what a retriever that has not seen a user's last events would have proposed before each of them.

What is served has seen them, so its lists would hold the answers by heart. Another retriever is fitted without them;
serving uses the first one. This is the cross-fitting of Chernozhukov et al. (2018), with two folds of users: each
fold's retriever knows everything of the others, as the served one does. Without everybody's last events it would not
know what came into fashion since, and the model would learn that instead.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Sequence
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

__all__ = ["CrossFit", "Fold", "cross_fit", "held_users", "is_known", "newest_first", "without_newest"]


_FOLDS = 2
_SPARE = 1.2
"""So many times as many lists are asked for as are likely to be needed: some users' answers are harder to find."""


@dataclass(frozen=True, slots=True)
class Fold:
    """Users and what knows nothing of their last events.

    Args:
        user_ids: The users.
        retriever: Has not seen these events, and everything of the others.
        hidden: The sequences that it has not seen.
    """

    user_ids: frozenset[str]
    retriever: Retriever
    hidden: frozenset[int]


@dataclass(frozen=True, slots=True)
class CrossFit:
    """Requests to learn from.

    Args:
        requests: Each with what was taken among its candidates; those of one user together, oldest first.
        asked: How many requests there were, those whose answer was no candidate included.
        folds: Who is asked about, by whom.
    """

    requests: tuple[HeldOutRequest, ...]
    asked: int
    folds: tuple[Fold, ...]

    def told(self, request: HeldOutRequest) -> HeldOutRequest | None:
        """Another request with what behaviour says of its candidates; None where all who know that know its answer."""
        user_id = request.before.user.user_id if request.before.user else None
        for fold in self.folds:
            if user_id in fold.user_ids and request.answer.sequence in fold.hidden:
                return request.told(fold.retriever)
        return None


@dataclass(frozen=True, slots=True)
class _Known:
    """One user's events that may be known.

    Args:
        events: In the order of time.
        first: The place of the first one that is asked about, and hidden from who is asked.
        last: The place behind the last such one: from there on they are for validation, and hidden from all.
        ends: Of the histories whose newest event is asked about.
    """

    events: Sequence[Event]
    first: int
    last: int
    ends: Sequence[int]

    @property
    def user_id(self) -> str:
        return self.events[0].user_id


def cross_fit(fit: Fit, served: FittedRetriever, snapshot: int, lists_per_user: int, most: int) -> CrossFit:
    """Fit retrievers without some users' last events, and ask them before each of these.

    Args:
        fit: What the served retriever was fitted with.
        served: It; the events that its requests are about are for validation, and are not asked about here.
        snapshot: The last event to learn from.
        lists_per_user: How many events of a user are held out at most, and no more than half of what they took.
        most: How many lists are wanted; no more users are asked about than they are likely to need.

    Raises:
        MissingExtraError: Free text is wanted, and what scrubs it is not installed.
    """
    scrub = scrub_by(fit.settings.learning)  # before anything long begins
    known = list(_known(fit, snapshot, held_users(served), lists_per_user))
    folds: list[Fold] = []
    requests: list[HeldOutRequest] = []
    for number, users in enumerate(_folds(known, _enough(served, most), fit.settings.fit.seed)):
        asked = frozenset(one.user_id for one in users)
        hidden = fit.hidden | _hidden(known, asked)
        # Not warm: the live encoder has seen the answers.
        own = replace(
            fit,
            settings=_crossfit_settings(fit.settings),
            hidden=hidden,
            checkpoint=crossfit_checkpoint(fit, number),
            encoder=None,
        )
        fitted = own.retriever(snapshot, previous=None)
        folds.append(Fold(asked, fitted.retriever, hidden))
        requests += _asked(fit, users, fitted, scrub)
    hits = tuple(one for one in requests if one.taken is not None)
    return CrossFit(hits, len(requests), tuple(folds))


def held_users(served: FittedRetriever) -> frozenset[str]:
    """Users whose newest event is for validation."""
    asked = {one.before.user.user_id for one in served.requests if one.before.user}
    return frozenset(asked.union(served.trained.held_out if served.trained is not None else ()))


def _known(fit: Fit, snapshot: int, held: Collection[str], lists_per_user: int) -> Iterator[_Known]:
    events = (one for one in fit.store.events_to_learn_from() if is_known(fit, one, snapshot))
    for user_id, of_user in groupby(events, key=attrgetter("user_id")):
        known = list(of_user)
        usable = without_newest(known) if user_id in held else known
        first = _first_held(usable, lists_per_user)
        ends = [end for end in range(first + 1, len(usable) + 1) if fit.foretells(usable[:end])]
        yield _Known(known, first, len(usable), ends)


def _enough(served: FittedRetriever, most: int) -> int:
    """How many requests are likely to give so many lists."""
    hits = sum(one.taken is not None for one in served.requests)
    return math.ceil(_SPARE * most * (len(served.requests) + 2) / (hits + 1))


def _folds(known: Sequence[_Known], enough: int, seed: int) -> list[list[_Known]]:
    """At most two halves of the users, as many of them as are needed, each in the order of the store."""
    if not known:
        return []
    order = np.random.default_rng(seed).permutation(len(known))
    asked = np.cumsum([len(known[place].ends) for place in order])
    needed = order[: int(np.searchsorted(asked, enough)) + 1]
    half = math.ceil(len(known) / _FOLDS)
    parts = [needed[start : start + half] for start in range(0, len(needed), half)]
    return [[known[place] for place in sorted(part.tolist())] for part in parts]


def _hidden(known: Iterable[_Known], asked: Collection[str]) -> frozenset[int]:
    """What a retriever may not see: of who is asked about the last events, and of nobody what validation asks about."""
    hidden = (one.events[one.first if one.user_id in asked else one.last :] for one in known)
    return frozenset(event.sequence for events in hidden for event in events if event.sequence is not None)


def _asked(fit: Fit, users: Sequence[_Known], fitted: FittedRetriever, scrub: Scrub | None) -> list[HeldOutRequest]:
    wanted = [(one.events, end) for one in users for end in one.ends]
    bar = tqdm(wanted, desc="asking before each choice", unit="list", disable=None if fit.progress else True)
    histories = (_history(fit, events, end, scrub) for events, end in bar)
    retrieval = fit.settings.retrieval
    found = judge(histories, fitted.retriever, retrieval.candidates, filter_seen=retrieval.filter_seen)
    return [one.weighed(fitted.prior_weight) for one in found]


def newest_first(user_ids: Sequence[str]) -> list[int]:
    """How many later ones of the same user there are, for each."""
    later: Counter[str] = Counter()
    ages = []
    for user_id in reversed(user_ids):
        ages.append(later[user_id])
        later[user_id] += 1
    return ages[::-1]


def _crossfit_settings(settings: Settings) -> Settings:
    """A fold's encoder trains as long as the first, or as `[learning] crossfit_epochs` says."""
    epochs = settings.learning.crossfit_epochs or settings.encoder.epochs
    encoder = settings.encoder.model_copy(update={"epochs": epochs})
    return settings.model_copy(update={"encoder": encoder})


def crossfit_checkpoint(fit: Fit, fold: int) -> Path:
    """A file of its own, so that the trainings of all retrievers survive an interruption."""
    return fit.checkpoint.with_name(f"crossfit-{fold}-{fit.checkpoint.name}")


def is_known(fit: Fit, event: Event, snapshot: int) -> bool:
    """Whether an event is behaviour that a training may learn from."""
    in_catalogue = event.item_id is None or event.item_id in fit.catalogue.items
    known = (event.sequence or 0) <= snapshot and event.sequence not in fit.hidden
    return event.is_behaviour and in_catalogue and known


def without_newest(events: Sequence[Event]) -> list[Event]:
    """Without the newest thing taken, and what came after it."""
    taken = _places(events)
    return list(events[: taken[-1]]) if taken else list(events)


def _first_held(events: Sequence[Event], lists_per_user: int) -> int:
    """The place of the first event that the fold's retriever may not see."""
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
