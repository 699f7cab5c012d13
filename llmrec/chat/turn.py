"""One turn while it lasts: what it knows, what holds, what was said and done so far."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any
from uuid import uuid4

from llmrec.chat.protocols import Recommends
from llmrec.chat.reply import Action, State
from llmrec.chat.understanding import Wish
from llmrec.records import Event, Explanation, Item, Recommendation
from llmrec.words import Mentions

__all__ = ["Turn", "attributes_of", "frequent"]

_NEAREST = 0.45
"""Cosine between an utterance and a text, from which it is taken for a description of that item."""


@dataclass(slots=True)
class Turn:
    """What the acts of one turn share.

    Args:
        recommender: Does what is wanted.
        user_id: Who speaks.
        items: The catalogue.
        state: What holds.
        words: Renders a block of chat.jinja.
        said: What is answered, a paragraph each.
        actions: What was done.
        event_ids: The events that were made.
        recommendation: The list that is given.
        explanation: The explanation that is given.
        wanted: The list that is to be given at the end: whether it goes on, and the item it is like.
        named: The item that is talked of from now on.
    """

    recommender: Recommends
    user_id: str
    items: Mapping[str, Item]
    state: State
    words: Callable[..., str]
    said: list[str] = field(default_factory=list)
    actions: list[Action] = field(default_factory=list)
    event_ids: list[str] = field(default_factory=list)
    recommendation: Recommendation | None = None
    explanation: Explanation | None = None
    wanted: tuple[bool, str | None] | None = None
    named: str | None = None

    def say(self, block: str, **values: object) -> None:
        """Answer with a block of chat.jinja."""
        self.said.append(self.words(block, **values))

    def ask_which(self, missing: str = "") -> None:
        """Ask which item is meant; `missing` is a place that the list does not have."""
        self.say("which", missing=missing, shown=bool(self.state.shown))

    def say_unknown(self, subject: str) -> None:
        """Say that the catalogue does not know what the items should be, and what it knows."""
        self.say("unknown", subject=subject, known=self._known())

    def did(self, kind: str, text: str, item_id: str | None = None) -> None:
        """Note an action."""
        self.actions.append(Action(kind, text, item_id))

    def hold(self, **changes: Any) -> None:
        """Change what holds from now on."""
        self.state = replace(self.state, **changes)

    def talk_of(self, item_id: str) -> None:
        """From now on “it” is this item."""
        self.named = item_id
        self.hold(focus=item_id)

    def want_list(self, *, more: bool = False, like: str | None = None) -> None:
        """One list a turn, after everything else was done."""
        was_more, was_like = self.wanted or (False, None)
        self.wanted = (more or was_more, like or was_like)

    def keep(self, item_id: str | None, kind: str, *, value: float | None = None, text: str | None = None) -> None:
        """Store an event of the user's; what is about the list answers it."""
        listed = self.state.list_id if item_id in self.state.shown else None
        event = Event(
            self.user_id, item_id, kind, value=value, text=text, event_id=uuid4().hex, recommendation_id=listed
        )
        self.event_ids.append(str(self.recommender.feedback(event).event_id))

    def misses(self, mentions: Mentions) -> bool:
        """Whether a place is named that the list does not have: then nothing is done, and that is said."""
        shown = len(self.state.shown)
        missing = [one for one in mentions.subjects if isinstance(one, int) and not (one == -1 or one <= shown)]
        missing += [one for one in mentions.subjects if one == -1 and not shown]
        if missing:
            self.ask_which(str(missing[0]) if missing[0] > 0 else "")
        return bool(missing)

    def subjects(self, mentions: Mentions) -> list[str]:
        """The items an utterance names."""
        found = [
            one if isinstance(one, str) else self.state.shown[one - 1 if one > 0 else one] for one in mentions.subjects
        ]
        return list(dict.fromkeys(found))

    def one_item(self, wish: Wish, *, default: str | None = None, guess: bool = False) -> str | None:
        """The item that a wish is about; where it names none, the one talked of last, or one that it describes."""
        subjects = self.subjects(wish.mentions)
        if subjects:
            return subjects[0]
        if self.state.focus or default:
            return self.state.focus or default
        near = self.recommender.nearest(wish.text) if guess else None
        if near is not None and near[1] >= _NEAREST:
            self.say("guessed", title=self.title(near[0]))
            return near[0]
        self.ask_which()
        return None

    def title(self, item_id: str | None) -> str:
        """What an item is called."""
        item = self.items.get(item_id or "")
        return item.title if item else str(item_id)

    def _known(self) -> list[str]:
        """What lists can be narrowed by, for people."""
        known: dict[str, list[str]] = {}
        for name, value in frequent(self.items):
            known.setdefault(name, []).append(value)
        told = [f"{name}: {', '.join(values[:6])}" for name, values in known.items()]
        numbers = {
            name
            for item in self.items.values()
            for name, value in item.attributes.items()
            if isinstance(value, int | float) and not isinstance(value, bool)
        }
        return [*told, *sorted(numbers)]


def attributes_of(item: Item) -> list[tuple[str, object]]:
    """An item's attributes, each of several values apart."""
    return [
        (name, value)
        for name, given in item.attributes.items()
        for value in (given if isinstance(given, tuple) else (given,))
    ]


def frequent(items: Mapping[str, Item]) -> list[tuple[str, str]]:
    """Values of attributes in words, the most frequent first; none that nearly every item has its own of."""
    counts: dict[tuple[str, str], int] = {}
    for item in items.values():
        for name, value in attributes_of(item):
            if isinstance(value, str):
                counts[name, value] = counts.get((name, value), 0) + 1
    return [pair for pair, count in sorted(counts.items(), key=lambda one: (-one[1], one[0])) if count > 1]
