"""From what was shown and what users did about it to lists to learn from.

A list teaches what was chosen against what was shown and passed over. Only the places down to one below the lowest
that the user did anything about count as looked at (a cascade, Craswell et al. 2008); a choice far down says more than
one on top, so a place's offset falls with the log of its rank. The history ends before the list was made, by the order
of arrival, so events that came late are neither lost nor leaked. What users wrote is left out, or told without personal
data where that is switched on.
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from llmrec.data import Store
from llmrec.learning.scrubbing import Scrub
from llmrec.ranking import HeldOutRequest
from llmrec.records import AttributeValue, Candidate, Event, History, Item, Shown, User

__all__ = ["Quotas", "teachable", "teachable_user", "transcripts", "within"]

LIKED_FROM = 4.0
"""The lowest rating that counts as a choice."""
POSITION_BIAS = 0.5
"""How the chance to be looked at falls: with rank to this power."""


@dataclass(frozen=True, slots=True)
class Quotas:
    """So that no user and no item fills what is learnt from; of more the newest are kept.

    Args:
        per_user: Lists of one user.
        per_item: Share of all lists in which one item is what was chosen; never fewer than `least`.
        least: Lists that every item may have.
    """

    per_user: int = 50
    per_item: float = 0.02
    least: int = 5


def transcripts(
    store: Store,
    items: Mapping[str, Item],
    *,
    snapshot: int,
    longest: int,
    since: int = 0,
    hidden: frozenset[int] = frozenset(),
    scrub: Scrub | None = None,
) -> Iterator[HeldOutRequest]:
    """One request for each choice from a list that was shown, user after user, oldest first.

    Users who do not want to be learnt from are left out.

    Args:
        store: Holds lists, events and users.
        items: The catalogue as it is now.
        snapshot: The last event to learn from.
        longest: How many of a user's newest events are looked at.
        since: Only choices that arrived after this sequence.
        hidden: Sequences of events that are not learnt from: no history holds them, and no choice counts as passed over
            because it is hidden.
        scrub: What becomes of free text; None: it is left out.
    """
    done = _answers(store, snapshot)
    asked: set[tuple[str, str]] = set()
    for shown in store.shown:
        answers = done.get(shown.recommendation_id, ())
        told = [event for event in answers if (event.sequence or 0) > since and event.sequence not in hidden]
        chosen = [event for event in told if _is_choice(event)]
        user = store.user(shown.user_id) or User(shown.user_id) if chosen else None
        if user is None or not user.teaches:
            continue
        before = _history(store, user, shown, longest, hidden=hidden, scrub=scrub)
        last_word = {str(event.item_id): _is_choice(event) for event in told}
        untold = {str(event.item_id) for event in answers if _is_choice(event)} - {str(one.item_id) for one in chosen}
        for item_id in dict.fromkeys(str(event.item_id) for event in chosen if last_word[str(event.item_id)]):
            request = _request(shown, told, item_id, before, items, untold=untold)
            if request is not None and (user.user_id, item_id) not in asked:
                asked.add((user.user_id, item_id))
                yield request


def within(quotas: Quotas, requests: Sequence[HeldOutRequest]) -> list[HeldOutRequest]:
    """The newest requests that the quotas allow, in their order."""
    most = max(quotas.least, int(quotas.per_item * len(requests)))
    users: Counter[str] = Counter()
    chosen: Counter[str] = Counter()
    kept = []
    for request in reversed(requests):
        user_id = request.before.user.user_id if request.before.user else ""
        item_id = request.candidates[request.taken or 0].item.item_id
        if users[user_id] < quotas.per_user and chosen[item_id] < most:
            users[user_id] += 1
            chosen[item_id] += 1
            kept.append(request)
    return kept[::-1]


def _answers(store: Store, snapshot: int) -> dict[str, list[Event]]:
    """What was done about each list, in the order of arrival."""
    found: defaultdict[str, list[Event]] = defaultdict(list)
    for event in store.events_by_user(recommended=True):
        if event.is_behaviour and event.item_id and (event.sequence or 0) <= snapshot:
            found[str(event.recommendation_id)].append(event)
    return {key: sorted(events, key=lambda one: one.sequence or 0) for key, events in found.items()}


def _is_choice(event: Event) -> bool:
    return event.is_taking and not (event.kind == "rating" and (event.value or 0) < LIKED_FROM)


def _history(
    store: Store, user: User, shown: Shown, longest: int, *, hidden: frozenset[int], scrub: Scrub | None
) -> History:
    """What was known when the list was made, less what is hidden."""
    events = store.events(user.user_id, limit=longest, before=shown.last_sequence + 1, behaviour=True)
    kept = tuple(teachable((event for event in events if event.sequence not in hidden), scrub))
    return History(
        teachable_user(user, scrub), kept, frozenset(event.item_id for event in kept if event.item_id), len(kept)
    )


def teachable(events: Iterable[Event], scrub: Scrub | None) -> Iterator[Event]:
    """Events as they may be learnt from.

    Args:
        events: Of one user.
        scrub: What becomes of free text; None: it is left out, and with it the events that are nothing else.
    """
    for event in events:
        if event.text is None:
            yield event
        elif scrub is not None:
            yield replace(event, text=scrub(event.text))
        elif event.item_id is not None and event.kind not in Event.WORDS:
            yield replace(event, text=None)


def teachable_user(user: User, scrub: Scrub | None) -> User:
    """A user as they may be learnt from: where free text is told, their attributes are scrubbed like it."""
    if scrub is None:
        return user
    return User(user.user_id, {name: _scrubbed(value, scrub) for name, value in user.attributes.items()})


def _scrubbed(value: AttributeValue, scrub: Scrub) -> AttributeValue:
    if isinstance(value, tuple):
        return tuple(map(scrub, value))
    return scrub(value) if isinstance(value, str) else value


def _request(
    shown: Shown,
    answers: Sequence[Event],
    item_id: str,
    before: History,
    items: Mapping[str, Item],
    *,
    untold: Collection[str],
) -> HeldOutRequest | None:
    """What was chosen against what was passed over; None where that is nothing, or not in the catalogue any more.

    Args:
        shown: The list.
        answers: What was done about it.
        item_id: What was chosen.
        before: What was known then.
        items: The catalogue.
        untold: Items of the list that were chosen too, of which nothing is learnt: they were not passed over.
    """
    places = {one.item_id: place for place, one in enumerate(shown.items)}
    about = {str(event.item_id): _is_choice(event) for event in answers if event.item_id in places}
    if item_id not in about or item_id not in items:
        return None
    looked_at = max(places[one] for one in about) + 1
    candidates = tuple(
        Candidate(items[one.item_id], _offset(one.parts, place))
        for place, one in enumerate(shown.items[: looked_at + 1])
        if one.item_id in items
        and (one.item_id == item_id or not (about.get(one.item_id, False) or one.item_id in untold))
    )
    taken = next(place for place, one in enumerate(candidates) if one.item.item_id == item_id)
    answer = next(event for event in answers if event.item_id == item_id and _is_choice(event))
    return HeldOutRequest(before, answer, candidates, taken) if len(candidates) > 1 else None


def _offset(parts: Mapping[str, float], place: int) -> float:
    """What spoke for the item without the language model, and for its being looked at."""
    return sum(value for name, value in parts.items() if name != "llm") - POSITION_BIAS * math.log(place + 1)
