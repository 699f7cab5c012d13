"""What users who share an attribute took, counted when a release is made: for those of whom nothing else is known."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from llmrec.records import AttributeValue, Event

__all__ = ["Popularity", "UserGroup", "count_groups", "traits_of"]

Trait = tuple[str, str | float]
"""An attribute and one value of it; texts without case."""

_SMALLEST = 10
"""Users. Fewer tell more about one of them than about the next."""

_TOP = 200
"""Items of each group; what the group took of the others is taken to be what everybody takes of them."""


@dataclass(frozen=True, slots=True)
class UserGroup:
    """Users who share a value of an attribute.

    Args:
        name: The attribute.
        value: What they share.
        users: How many they are.
        events: How often they took an item.
        items: How often they took each of those they took most.
    """

    name: str
    value: str | float
    users: int
    events: int
    items: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class Popularity:
    """Events on each item when a release was made, and what groups of users took; items without events left out."""

    counts: Mapping[str, int]
    groups: Sequence[UserGroup] = ()


def count_groups(
    behaviour: Iterable[Sequence[Event]], attributes: Mapping[str, Mapping[str, AttributeValue]]
) -> list[UserGroup]:
    """The groups that are large enough to tell something.

    Args:
        behaviour: For each user, at least one event of theirs: what they took.
        attributes: What is known of the users, by id.
    """
    traits = {user_id: traits_of(known) for user_id, known in attributes.items()}
    # Most values of an attribute such as a postcode are of no use, so they are not counted at all.
    stored = Counter(trait for those in traits.values() for trait in those)
    members: Counter[Trait] = Counter()
    taken: defaultdict[Trait, Counter[str]] = defaultdict(Counter)
    for events in behaviour:
        for trait in traits.get(events[0].user_id, ()):
            if stored[trait] >= _SMALLEST:
                members[trait] += 1
                taken[trait].update(str(event.item_id) for event in events)
    return [
        UserGroup(*trait, members[trait], counts.total(), dict(counts.most_common(_TOP)))
        for trait, counts in taken.items()
        if members[trait] >= _SMALLEST
    ]


def traits_of(attributes: Mapping[str, AttributeValue]) -> list[Trait]:
    """Each value of each attribute once."""
    pairs = [(name, one) for name, value in attributes.items() for one in _values(value)]
    return list(dict.fromkeys(pairs))


def _values(value: AttributeValue) -> tuple[str | float, ...]:
    if isinstance(value, tuple):
        return tuple(text.casefold() for text in value)
    return (value.casefold() if isinstance(value, str) else value,)
