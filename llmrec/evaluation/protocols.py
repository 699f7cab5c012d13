"""Which events are known, and which are to be foretold.

Only items that are new to a user count: of several events on one item the first stays, because items in the history
are masked when lists are made. What systems are fitted on is always a beginning of each user's sequence, so no later
event can reach it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Literal

import numpy as np

from llmrec.errors import DataError
from llmrec.evaluation.interactions import NO_TIME, Interactions, Rows, Sequences

__all__ = [
    "Requests",
    "Split",
    "hold_out_items",
    "leave_last_out",
    "leave_one_out",
    "temporal_split",
    "training_interactions",
]

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
_SHORTEST = 3
"""A user needs an event to learn from, one to validate and one to test."""


@dataclass(frozen=True, slots=True, eq=False)
class Requests:
    """What systems are asked: a user with what they did before; the answers are not in it.

    Args:
        users: Rows in `Interactions.user_ids`, int64 [n].
        histories: What each user did before, oldest first; may be empty. Its items are masked in the lists.
    """

    users: Rows
    histories: Sequences

    def __len__(self) -> int:
        return len(self.users)

    def take(self, order: Rows) -> Requests:
        """Some of the requests, in the order given."""
        return Requests(self.users[order], self.histories.take(order))


@dataclass(frozen=True, slots=True, eq=False)
class Split:
    """Requests and the right answers to them.

    Args:
        interactions: All events, repeats apart.
        known: How many of each user's first events systems may be fitted on, int64 [users].
        requests: What is asked.
        targets: What each request's user took afterwards, at least one item each.
        protocol: What was done, for the report.
    """

    interactions: Interactions
    known: Rows
    requests: Requests
    targets: Sequences
    protocol: Mapping[str, object]

    def __post_init__(self) -> None:
        if not len(self.requests):
            raise DataError("no user has events to foretell", hint="give more events, or an earlier time to split at")
        assert (self.known[self.requests.users] <= self.requests.histories.lengths).all()


def training_interactions(split: Split) -> Interactions:
    """What systems are fitted on: of every user the events before anything that is to be foretold."""
    sequences = split.interactions.sequences
    return split.interactions.with_sequences(sequences.between(np.zeros_like(split.known), split.known))


def leave_one_out(interactions: Interactions, target: Literal["test", "validation"] = "test") -> Split:
    """The last item of each user is for the test, the one before for validation, the rest for training.

    Both targets have the same training events; a test request's history holds the validation event. Users with fewer
    than three items are training only.

    Raises:
        DataError: No user has three items, or there is no such target.
    """
    if target not in ("test", "validation"):
        raise DataError(f"there is no target {target!r}", hint="take test or validation")
    firsts = interactions.without_repeats()
    sequences, lengths = firsts.sequences, firsts.sequences.lengths
    asked = np.flatnonzero(lengths >= _SHORTEST)
    place = lengths - (1 if target == "test" else 2)
    return Split(
        firsts,
        known=np.where(lengths >= _SHORTEST, lengths - 2, lengths),
        requests=Requests(asked, sequences.between(np.zeros_like(place), place).take(asked)),
        targets=sequences.between(place, place + 1).take(asked),
        protocol={"name": "leave-one-out", "target": target, "ranked": "all items", "masked": "items of the history"},
    )


def leave_last_out(interactions: Interactions, targets: int) -> Split:
    """Each of a user's last items is foretold from what was before it; the rest is for training.

    A user has as many requests as targets, so that few users tell more; the report means over each user's first. Who
    has fewer than two items more than targets is training only.

    Args:
        interactions: All events.
        targets: How many of each user's last items.

    Raises:
        DataError: No user has enough items, or no target is wanted.
    """
    if targets < 1:
        raise DataError(f"{targets} targets are none", hint="foretell one item of each user or more")
    firsts = interactions.without_repeats()
    sequences, lengths = firsts.sequences, firsts.sequences.lengths
    enough = lengths >= targets + 2
    users = np.repeat(np.flatnonzero(enough), targets)
    place = lengths[users] - np.tile(np.arange(targets, 0, -1), int(enough.sum()))
    of_users = sequences.take(users)
    return Split(
        firsts,
        known=np.where(enough, lengths - targets, lengths),
        requests=Requests(users, of_users.between(np.zeros_like(place), place)),
        targets=of_users.between(place, place + 1),
        protocol={
            "name": "leave-last-out",
            "targets": targets,
            "ranked": "all items",
            "masked": "items of the history",
        },
    )


def hold_out_items(interactions: Interactions, share: float, *, seed: int = 0) -> tuple[Interactions, Rows]:
    """Make some items new: nobody has met them, but they are still what some users take last.

    Of the result, `leave_one_out` has these items among the test's targets and nowhere else: in no training event, no
    history and no validation target.

    Args:
        interactions: All events.
        share: The share of the items to hold out, chosen at random among all of them.
        seed: Of the choice.

    Returns:
        The interactions without what is held out, and the rows of the items held out, sorted.

    Raises:
        DataError: The share is not between 0 and 1, or rounds to no item or to all of them.
    """
    if not 0 < share < 1:
        raise DataError(f"share = {share} is not between 0 and 1", hint="0.1 holds out a tenth of the items")
    items = len(interactions.item_ids)
    if not 0 < round(share * items) < items:
        raise DataError(
            f"a share of {share} of {items} items is {round(share * items)}", hint="hold out some of the items, not all"
        )
    held = np.sort(np.random.default_rng(seed).choice(items, round(share * items), replace=False))
    firsts = interactions.without_repeats()
    sequences = firsts.sequences
    fresh = np.isin(sequences.rows, held)
    is_last = sequences.ages == 0
    left = np.bincount(sequences.owners[~fresh | is_last], minlength=len(sequences))
    # Who has too few events left is training only, and so may not keep such an item at all.
    keeps_last = (left >= _SHORTEST)[sequences.owners] & is_last
    return firsts.with_sequences(sequences.keep(~fresh | keeps_last)), held


def temporal_split(interactions: Interactions, *, fraction: float | None = None, time: datetime | None = None) -> Split:
    """Everything from one moment on, the same for all users, is to be foretold from what was strictly before.

    For a validation split, split `training_interactions` again.

    Args:
        interactions: All events, each with a time.
        fraction: The moment is where this share of the events has happened.
        time: The moment itself, aware.

    Raises:
        DataError: Events have no times, no event is before the moment, or nothing new happens from it on.
    """
    firsts = interactions.without_repeats()
    sequences = firsts.sequences
    if sequences.times is None or not len(sequences.times) or (sequences.times == NO_TIME).any():
        raise DataError(
            "a split in time needs a time on every event",
            hint="drop --protocol temporal: leave-one-out needs an order alone",
        )
    moment = _moment(sequences.times, fraction, time)
    known = np.bincount(sequences.owners[sequences.times < moment], minlength=len(sequences))
    if not known.any():
        raise DataError("no event lies before the split", hint="split at a later time")
    asked = np.flatnonzero(known < sequences.lengths)
    return Split(
        firsts,
        known=known,
        requests=Requests(asked, sequences.between(np.zeros_like(known), known).take(asked)),
        targets=sequences.between(known, sequences.lengths).take(asked),
        protocol={
            "name": "temporal",
            "from": (_EPOCH + int(moment) * _MICROSECOND).isoformat(),
            "ranked": "all items",
            "masked": "items of the history",
        },
    )


def _moment(times: Rows, fraction: float | None, time: datetime | None) -> int:
    if (fraction is None) == (time is None):
        raise DataError("a split in time needs a fraction or a time", hint="give one of the two")
    if time is not None:
        if time.tzinfo is None:
            raise DataError(f"time = {time} has no time zone", hint="give an aware time")
        return (time - _EPOCH) // _MICROSECOND
    assert fraction is not None
    if not 0 < fraction < 1:
        raise DataError(f"fraction = {fraction} is not between 0 and 1", hint="0.8 learns from the first 80%")
    return int(np.sort(times)[int(fraction * len(times))])
