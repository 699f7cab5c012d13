"""Whose events earn an item its places, so that accounts made for it cannot push it.

An account is trusted with an item if the champion knew it already and it took some other items too: making accounts
is cheap, keeping them busy from one release to the next is not. What an item has earned is the share of the trusted
accounts that took it, each counted once. Of the events of all others on an item a release learns from so many at most
as the trusted ones make expect, those of the busiest accounts first; once the next release is made, an account that
goes on is trusted as well. Who keeps out of learning has no say.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Iterator
from itertools import groupby
from operator import attrgetter

from llmrec.records import Event
from llmrec.releases import Release

__all__ = ["OTHERS", "crowded_out", "earned_shares"]

OTHERS = 5
"""An account took so many other items, or it earns an item nothing."""
_LEAST = 5
"""So many events of other accounts an item may always have."""


def earned_shares(events: Iterable[Event], champion: Release, item_ids: Collection[str]) -> dict[str, float]:
    """The share of the trusted accounts that took each of some items, 0 where no account is trusted.

    Args:
        events: All that may be learnt from, user after user.
        champion: What was live before.
        item_ids: Which items.
    """
    took, trusted = Counter[str](), 0
    for taken, is_known in _accounts(events, champion):
        met = _trusted_with(taken) if is_known else frozenset()
        trusted += bool(met)
        took.update(met.intersection(item_ids))
    return {item_id: took[item_id] / max(1, trusted) for item_id in item_ids}


def crowded_out(events: Iterable[Event], champion: Release, times: float) -> frozenset[int]:
    """Sequences of what is not learnt from yet: of an item what is beyond its quota, from the idlest accounts.

    Trusted accounts are learnt from in full. Of all others' events an item has the share that it has of the trusted
    ones', so many times at most, or `_LEAST`. Where nobody is trusted there is no quota.

    Args:
        events: All that may be learnt from, user after user.
        champion: What was live before.
        times: So much more than expected is learnt from.
    """
    trusted, others = Counter[str](), dict[str, list[tuple[int, int]]]()
    for taken, is_known in _accounts(events, champion):
        earns = _trusted_with(taken) if is_known else frozenset()
        trusted.update(earns)
        # Pushing an item alone is the cheapest: whoever took much else comes before that.
        idle = -len({event.item_id for event in taken})
        for event in taken:
            if event.item_id not in earns:
                others.setdefault(str(event.item_id), []).append((idle, event.sequence or 0))
    if not trusted:
        return frozenset()
    each = times * sum(map(len, others.values())) / trusted.total()
    beyond = (sorted(kept)[max(_LEAST, int(each * trusted[item_id])) :] for item_id, kept in others.items())
    return frozenset(sequence for kept in beyond for _, sequence in kept)


def _accounts(events: Iterable[Event], champion: Release) -> Iterator[tuple[list[Event], bool]]:
    """What each account took, and whether the champion knew it."""
    for _, of_user in groupby(events, key=attrgetter("user_id")):
        taken = [event for event in of_user if event.is_taking]
        if taken:
            yield taken, any(champion.may_know(event.sequence or 0) for event in taken)


def _trusted_with(taken: Collection[Event]) -> frozenset[str]:
    """The items that an account which is known may speak for."""
    met = frozenset(str(event.item_id) for event in taken)
    return met if len(met) > OTHERS else frozenset()
