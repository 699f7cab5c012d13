"""What an explanation may be made of: true counterfactuals, the parts of the score, and shared attributes."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import cache

from llmrec.explaining.facts import facts_of
from llmrec.ranking import PromptLibrary
from llmrec.records import AttributeValue, Event, Evidence, Item

__all__ = ["gather", "in_the_past"]

Render = Callable[..., str]
"""Renders the block `event` of the explanation's words from its variables."""


def gather(
    item: Item,
    *,
    events: Sequence[Event],
    drops: Sequence[float],
    parts: Mapping[str, float],
    items: Mapping[str, Item],
    named: int,
    render: Render | None = None,
) -> tuple[Evidence, ...]:
    """All evidence for an item's score, the strongest of each kind first: events, parts, attributes, a change.

    Args:
        item: The item explained.
        events: The user's events.
        drops: For each of them, how much the score falls when that event is taken out.
        parts: What the score is the sum of.
        items: At least the items the events are about.
        named: How many causes are named; attributes are shared with these, because the words say so of them.
        render: Words an event; None: the shipped words.
    """
    words = render or _shipped()
    counterfactuals = [
        Evidence("event", float(drop), event.item_id, in_the_past(event, items, words), event.event_id)
        for event, drop in zip(events, drops, strict=True)
    ]
    shares = [Evidence("part", value, None, name) for name, value in parts.items()]
    counterfactuals.sort(key=lambda one: -abs(one.strength))
    facts = facts_of(item.title, counterfactuals, named)
    told = {one.item_id for one in facts.causes if one.item_id}
    causes = [items[item_id] for item_id in sorted(told)]
    # What lowers it most is what would lift it, had it not happened. Without the only event the score is a newcomer's.
    against = facts.against[:1] if len(events) > 1 else ()
    changes = [replace(one, kind="change", strength=-one.strength) for one in against]
    shared = [Evidence("attribute", float(count), None, text) for text, count in _shared_attributes(item, causes)]
    by_strength = [sorted(group, key=lambda one: -abs(one.strength)) for group in (counterfactuals, shares, shared)]
    return (*(evidence for group in by_strength for evidence in group), *changes)


def in_the_past(event: Event, items: Mapping[str, Item], render: Render) -> str:
    """What the user did, to be read after “you”."""
    title = items[event.item_id].title if event.item_id else ""
    value = "" if event.value is None else f"{event.value:g}"
    return render(kind=event.kind, title=title, value=value, text=event.text or "").strip()


@cache
def _shipped() -> Render:
    library = PromptLibrary()
    return lambda **values: library.text("why", "event", **values)


def _shared_attributes(item: Item, causes: Sequence[Item]) -> list[tuple[str, int]]:
    """Attribute values of the item that its causes have too, with how many of them."""
    pairs = [(name, value) for name, given in item.attributes.items() for value in _values(given)]
    counts = [
        (f"{name}: {value}", sum(value in _values(cause.attributes.get(name, ())) for cause in causes))
        for name, value in pairs
    ]
    return [(text, count) for text, count in counts if count]


def _values(given: AttributeValue) -> tuple[object, ...]:
    return given if isinstance(given, tuple) else (given,)
