"""What users did with recommendations that were really shown: click-through rate and satisfaction per release.

An impression is an event of that kind with a recommendation_id and an item; an answer is any behaviour on an item
under the same recommendation_id. An answer to something that was never shown counts nowhere.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import datetime

from llmrec.data import Store
from llmrec.evaluation.uncertainty import Interval, wilson
from llmrec.records import Event
from llmrec.releases import Release

__all__ = ["ReleaseOutcome", "release_outcomes", "stored_outcomes"]

UNKNOWN = "unknown"
"""Stands for a release that cannot be told."""

_POSITIVE = frozenset({"like", "purchase"})
_Shown = tuple[str, str]


@dataclass(frozen=True, slots=True)
class ReleaseOutcome:
    """How one release did; the intervals take impressions as independent.

    Args:
        release: Which.
        recommendations: How many lists were shown.
        impressions: How many items were shown in them, each once a list.
        clicks: How many of those the user then did something with that is not negative.
        opinions: How many of those the user then judged: liked, bought, rated, disliked, hid or skipped.
        satisfied: How many of the opinions are positive; the last one on an item counts.
    """

    release: str
    recommendations: int
    impressions: int
    clicks: int
    opinions: int
    satisfied: int

    @property
    def click_through_rate(self) -> Interval:
        """Clicks per impression."""
        return wilson(self.clicks, self.impressions)

    @property
    def satisfaction(self) -> Interval:
        """The share of positive opinions."""
        return wilson(self.satisfied, self.opinions)

    def to_dict(self) -> dict[str, object]:
        """The JSON form."""
        return {
            "recommendations": self.recommendations,
            "impressions": self.impressions,
            "clicks": self.clicks,
            "click_through_rate": self.click_through_rate.to_dict(),
            "opinions": self.opinions,
            "satisfaction": self.satisfaction.to_dict(),
        }


@dataclass(slots=True)
class _Log:
    shown: set[_Shown] = field(default_factory=set)
    clicked: set[_Shown] = field(default_factory=set)
    liked: dict[_Shown, bool] = field(default_factory=dict)

    def add(self, place: _Shown, event: Event, liked_from: float) -> None:
        if not event.is_behaviour:
            self.shown.add(place)
            return
        if not event.is_negative:
            self.clicked.add(place)
        opinion = _opinion(event, liked_from)
        if opinion is not None:
            self.liked[place] = opinion


def release_outcomes(
    events: Iterable[Event], release_of: Callable[[str], str], *, liked_from: float = 4.0
) -> dict[str, ReleaseOutcome]:
    """The outcome of every release that showed something, by its name.

    Args:
        events: A log in the order of its arrival.
        release_of: The release that made the recommendation with this id.
        liked_from: The lowest rating that says that the user liked the item.
    """
    log = _Log()
    for event in events:
        if event.recommendation_id is not None and event.item_id is not None:
            log.add((event.recommendation_id, event.item_id), event, liked_from)
    releases = {recommendation: release_of(recommendation) for recommendation, _ in sorted(log.shown)}
    return {name: _outcome(name, log, releases) for name in sorted(set(releases.values()))}


def stored_outcomes(store: Store, releases: Iterable[Release]) -> dict[str, ReleaseOutcome]:
    """The outcome of every release, from the impressions that a store holds.

    Where a recommendation was not kept, its release is taken for the newest one at its first impression; before the
    first release, or without a time, for `UNKNOWN`.
    """
    made = sorted((datetime.fromisoformat(one.manifest["created"]), one.version) for one in releases)
    first_shown: dict[str, datetime] = {}
    for event in store.events_by_user(recommended=True):
        if event.recommendation_id is not None and event.timestamp is not None and not event.is_behaviour:
            known = first_shown.get(event.recommendation_id, event.timestamp)
            first_shown[event.recommendation_id] = min(known, event.timestamp)

    kept = {shown.recommendation_id: shown.release for shown in store.shown}

    def release_of(recommendation: str) -> str:
        if recommendation in kept:
            return kept[recommendation]
        moment = first_shown.get(recommendation)
        before = [version for created, version in made if moment is not None and created <= moment]
        return before[-1] if before else UNKNOWN

    return release_outcomes(store.events_by_user(recommended=True), release_of)


def _outcome(name: str, log: _Log, releases: dict[str, str]) -> ReleaseOutcome:
    shown = {place for place in log.shown if releases[place[0]] == name}
    judged = [liked for place, liked in log.liked.items() if place in shown]
    return ReleaseOutcome(
        release=name,
        recommendations=len({recommendation for recommendation, _ in shown}),
        impressions=len(shown),
        clicks=len(shown & log.clicked),
        opinions=len(judged),
        satisfied=sum(judged),
    )


def _opinion(event: Event, liked_from: float) -> bool | None:
    """Whether the event says that the user liked the item; None where it says neither."""
    if event.is_negative:
        return False
    if event.kind == "rating":
        return event.value is not None and event.value >= liked_from
    return True if event.kind in _POSITIVE else None
