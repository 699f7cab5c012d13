"""The values that flow through llmrec. All are frozen and checked where they are made, so no later stage checks again.

Ids are strings. Times are aware and in UTC. `score` is in log-odds and is the sum of `parts`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from importlib import import_module
from types import MappingProxyType
from typing import Any, ClassVar

from llmrec.errors import ConfigError, DataError, MissingExtraError

__all__ = [
    "AttributeValue",
    "Candidate",
    "Event",
    "Evidence",
    "Explanation",
    "History",
    "Item",
    "RankedItem",
    "Recommendation",
    "Shown",
    "ShownItem",
    "Trace",
    "User",
    "checked_attributes",
    "in_words",
]

AttributeValue = str | int | float | bool | tuple[str, ...]

_MAX_ID = 256
_EARLIEST = datetime(1970, 1, 2, tzinfo=UTC)
_CLOCK_SKEW = timedelta(days=1)


def _checked_id(value: object, name: str) -> str:
    if not isinstance(value, str):
        raise DataError(f"{name} = {value!r} is not a string", hint=f"give {name} as a string, such as '42'")
    if not value.strip() or len(value) > _MAX_ID or not value.isprintable():
        raise DataError(
            f"{name} = {value[:60]!r} is not a usable id",
            hint=f"ids are 1 to {_MAX_ID} printable characters, not all of them blanks",
        )
    return value


def _checked_text(value: object, name: str) -> str:
    if not isinstance(value, str):
        raise DataError(f"{name} = {str(value)[:60]!r} is not text", hint=f"give {name} as a string")
    # NUL cannot be stored by PostgreSQL and lone surrogates by neither database: keep their place, not the character.
    return value.replace("\x00", "\ufffd").encode("utf-8", "replace").decode("utf-8")


def _checked_number(value: object, name: str) -> float:
    if isinstance(value, int | float) and not isinstance(value, bool):
        with suppress(OverflowError):
            number = float(value)
            if math.isfinite(number):
                return number
    # Python refuses to print integers of thousands of digits.
    shown = "an integer too large" if type(value) is int else repr(value)[:60]
    raise DataError(f"{name} = {shown} is not a finite number", hint=f"give {name} as a number, or leave it out")


def _checked_attribute(value: object, name: str) -> AttributeValue:
    if isinstance(value, bool):
        return value
    if isinstance(value, int | float):
        _checked_number(value, name)
        return value
    if isinstance(value, list | tuple | set | frozenset):
        parts = [_checked_text(part, name) for part in value]
        return tuple(sorted(parts) if isinstance(value, set | frozenset) else parts)
    return _checked_text(value, name)


def checked_attributes(attributes: object, name: str = "attributes") -> Mapping[str, AttributeValue]:
    """Attributes made plain and read-only; those that are None are left out.

    Raises:
        DataError: It is no mapping from texts to texts, numbers, truth values or several texts.
    """
    if not isinstance(attributes, Mapping):
        raise DataError(f"{name} = {attributes!r} is not a mapping", hint=f"give {name} as a dict")
    pairs = {_checked_text(key, "attribute name"): value for key, value in attributes.items() if value is not None}
    return MappingProxyType({key: _checked_attribute(value, f"attribute {key!r}") for key, value in pairs.items()})


def _checked_time(value: object) -> datetime:
    if not isinstance(value, datetime) or value.tzinfo is None:
        raise DataError(
            f"timestamp = {value!r} is not an aware time",
            hint="give a datetime with a time zone, such as datetime.now(timezone.utc)",
        )
    if not _EARLIEST <= value <= datetime.now(UTC) + _CLOCK_SKEW:
        raise DataError(
            f"timestamp = {value.isoformat()} lies before 1970-01-02 or in the future",
            hint="check the unit (seconds, not milliseconds) and the time zone",
        )
    return value.astimezone(UTC)


def in_words(attributes: Mapping[str, AttributeValue]) -> str:
    """Attributes as a reader would note them down, such as ``year: 1995; genres: Comedy, Drama``."""
    return "; ".join(f"{name}: {_value_in_words(value)}" for name, value in attributes.items())


def _value_in_words(value: AttributeValue) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, tuple):
        return ", ".join(value)
    return f"{value:g}" if isinstance(value, float) else str(value)


@dataclass(frozen=True, slots=True)
class User:
    """Somebody to recommend to; `attributes` are whatever is known of them (age, gender, place, ...).

    The attribute `learning` set to false means that nothing of theirs is learnt from; it is no part of any prompt.
    """

    LEARNING: ClassVar[str] = "learning"

    user_id: str
    attributes: Mapping[str, AttributeValue] = field(default_factory=dict)

    def __post_init__(self) -> None:
        _checked_id(self.user_id, "user_id")
        object.__setattr__(self, "attributes", checked_attributes(self.attributes))

    @property
    def teaches(self) -> bool:
        """Whether what they do may be learnt from."""
        return self.attributes.get(self.LEARNING) is not False

    @property
    def about(self) -> Mapping[str, AttributeValue]:
        """What is known of them, for a prompt."""
        return {name: value for name, value in self.attributes.items() if name != self.LEARNING}


@dataclass(frozen=True, slots=True)
class Item:
    """Something to recommend; `attributes` are free: a number, a string, a truth value or a tuple of strings each."""

    item_id: str
    title: str
    description: str = ""
    attributes: Mapping[str, AttributeValue] = field(default_factory=dict)

    def __post_init__(self) -> None:
        _checked_id(self.item_id, "item_id")
        object.__setattr__(self, "title", _checked_text(self.title, "title"))
        object.__setattr__(self, "description", _checked_text(self.description, "description"))
        object.__setattr__(self, "attributes", checked_attributes(self.attributes))
        if not self.title.strip():
            raise DataError(f"item {self.item_id!r} has no title", hint="every item needs a title the model can read")

    @property
    def text(self) -> str:
        """Everything known of it, as the text encoder reads it: title, description, attributes."""
        parts = (self.title, self.description, in_words(self.attributes))
        return ". ".join(part.strip() for part in parts if part.strip())


@dataclass(frozen=True, slots=True)
class Event:
    """Something a user did or said.

    Args:
        user_id: Who.
        item_id: On which item, or None where there is none (a search query has only text).
        kind: What: impression, view, click, like, dislike, hide, unhide, rating, purchase, search, comment, or your own
            word. What is hidden comes back after an unhide or a like.
        value: A number that belongs to it: the stars of a rating, the seconds of a view.
        text: What was said or typed.
        timestamp: When, aware; None where the source has only an order.
        event_id: The client's own id for it; sending the same id again changes nothing.
        recommendation_id: The recommendation it answers.
        sequence: The order of arrival, given by the store.
    """

    NEGATIVE: ClassVar[frozenset[str]] = frozenset({"dislike", "hide", "skip"})
    PASSIVE: ClassVar[frozenset[str]] = frozenset({"impression"})
    HIDING: ClassVar[frozenset[str]] = frozenset({"hide"})
    WORDS: ClassVar[frozenset[str]] = frozenset({"unhide", "comment", "search"})
    SHOWING: ClassVar[frozenset[str]] = frozenset({"unhide", "like"})

    user_id: str
    item_id: str | None = None
    kind: str = "view"
    value: float | None = None
    text: str | None = None
    timestamp: datetime | None = None
    event_id: str | None = None
    recommendation_id: str | None = None
    sequence: int | None = None

    def __post_init__(self) -> None:
        _checked_id(self.user_id, "user_id")
        _checked_id(self.kind, "kind")
        for name in ("item_id", "event_id", "recommendation_id"):
            if getattr(self, name) is not None:
                _checked_id(getattr(self, name), name)
        if self.value is not None:
            object.__setattr__(self, "value", _checked_number(self.value, "value"))
        if self.text is not None:
            object.__setattr__(self, "text", _checked_text(self.text, "text"))
        if self.timestamp is not None:
            object.__setattr__(self, "timestamp", _checked_time(self.timestamp))
        if self.kind == "rating" and self.value is None:
            raise DataError("a rating has no value", hint="give the stars as value, or use another kind")
        if self.item_id is None and not self.text:
            raise DataError("an event has neither an item nor text", hint="give item_id, or text for a search")

    @property
    def is_behaviour(self) -> bool:
        """Whether the user did it, rather than was shown it."""
        return self.kind not in self.PASSIVE

    @property
    def is_negative(self) -> bool:
        """Whether it says that the user does not want the item."""
        return self.kind in self.NEGATIVE

    @property
    def is_taking(self) -> bool:
        """Whether the user took an item: what is learnt from, and what a history says of them."""
        silent = self.is_negative or self.kind in self.WORDS
        return self.item_id is not None and self.is_behaviour and not silent


@dataclass(frozen=True, slots=True)
class History:
    """What is known of one user when a request is answered.

    Args:
        user: Who, where that is known.
        events: What they did, oldest first; at most as many as are looked at.
        seen: Every item they already met, however long ago.
        known: How many events are stored, those not looked at included.
        hidden: What they do not want to see, until they say so.
    """

    user: User | None = None
    events: tuple[Event, ...] = ()
    seen: frozenset[str] = frozenset()
    known: int = 0
    hidden: frozenset[str] = frozenset()

    def __post_init__(self) -> None:
        object.__setattr__(self, "known", max(self.known, len(self.events)))

    def without(self, removed: Event) -> History:
        """The same history as if one event had not happened."""
        return History(self.user, tuple(event for event in self.events if event is not removed), self.seen)


@dataclass(frozen=True, slots=True)
class Candidate:
    """An item the retriever proposes, with its retrieval score (before any weight)."""

    item: Item
    score: float


@dataclass(frozen=True, slots=True)
class RankedItem:
    """An item in its place: `score` is the sum of `parts`, in log-odds; `probability` is calibrated separately."""

    rank: int
    item: Item
    score: float
    parts: Mapping[str, float]
    probability: float

    def to_dict(self) -> dict[str, Any]:
        """The JSON form of the contract."""
        return {
            "rank": self.rank,
            "item_id": self.item.item_id,
            "title": self.item.title,
            "attributes": {
                name: list(value) if isinstance(value, tuple) else value for name, value in self.item.attributes.items()
            },
            "score": self.score,
            "probability": self.probability,
            "parts": dict(self.parts),
        }


@dataclass(frozen=True, slots=True)
class Trace:
    """How an answer came about.

    Args:
        path: Where the retrieval scores come from: history (the user's events), words (what they said they want, or
            the situation), attributes (what users like them take) or popularity.
        candidates: How many items were scored.
        history_events: How many events of the user are known.
        history_used: How many of them the prompt holds; the rest was trimmed, oldest first. None without a prompt.
        prompt_tokens: Tokens of the shared part of the prompt.
        prompt_fingerprint: sha256 of the template that worded it, shortened.
        model: The language model that scored, or None.
        packed: Whether all candidates were scored in shared passes.
        notes: What else a reader should know: texts that were capped, parts that were left out.
        seconds: Wall time by stage.
        attention: Path history: the events that weigh most in the user's vector, item and weight, strongest first.
    """

    path: str
    candidates: int = 0
    history_events: int = 0
    history_used: int | None = None
    prompt_tokens: int = 0
    prompt_fingerprint: str | None = None
    model: str | None = None
    packed: bool | None = None
    notes: tuple[str, ...] = ()
    seconds: Mapping[str, float] = field(default_factory=dict)
    attention: tuple[tuple[str, float], ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """The JSON form."""
        names = [name for name in self.__slots__ if name not in ("notes", "seconds", "attention")]
        return {
            **{name: getattr(self, name) for name in names},
            "history_trimmed": None if self.history_used is None else self.history_events - self.history_used,
            "notes": list(self.notes),
            "seconds": {stage: round(value, 4) for stage, value in self.seconds.items()},
            "attention": [{"item_id": item_id, "weight": weight} for item_id, weight in self.attention],
        }


@dataclass(frozen=True, slots=True)
class Recommendation:
    """The answer to a request, best item first; `fallback` holds the reason when the language model did not rank."""

    id: str
    user_id: str | None
    release: str | None
    items: tuple[RankedItem, ...]
    trace: Trace
    fallback: str | None = None

    def to_dict(self) -> dict[str, Any]:
        """The JSON form of the contract."""
        return {
            "recommendation_id": self.id,
            "user_id": self.user_id,
            "release": self.release,
            "fallback": self.fallback,
            "items": [item.to_dict() for item in self.items],
            "trace": self.trace.to_dict(),
        }

    def to_frame(self, backend: str = "pandas") -> Any:
        """The items as a table with the columns user_id, item_id, score, rank.

        Args:
            backend: pandas, polars or pyarrow.

        Raises:
            MissingExtraError: The backend is not installed.
            ConfigError: There is no such backend.
        """
        import narwhals

        columns = {
            "user_id": [self.user_id] * len(self.items),
            "item_id": [ranked.item.item_id for ranked in self.items],
            "score": [ranked.score for ranked in self.items],
            "rank": [ranked.rank for ranked in self.items],
        }
        if backend not in ("pandas", "polars", "pyarrow"):
            raise ConfigError(f"no table backend {backend!r}", hint="use pandas, polars or pyarrow")
        try:
            library = import_module(backend)
        except ModuleNotFoundError as error:
            raise MissingExtraError(backend, extra="tables", purpose="to_frame") from error
        return narwhals.from_dict(columns, backend=library).to_native()


@dataclass(frozen=True, slots=True)
class ShownItem:
    """One place of a list that was recommended.

    Args:
        item_id: The item.
        score: Its score.
        parts: What that is the sum of.
        propensity: The chance that the place would hold it, given the places above; None: nothing was left to chance.
    """

    item_id: str
    score: float
    parts: Mapping[str, float]
    propensity: float | None = None


@dataclass(frozen=True, slots=True)
class Shown:
    """A list that was recommended, as the store keeps it.

    Args:
        recommendation_id: Its id, which feedback refers to.
        user_id: To whom.
        release: The release that made it.
        prompt: What identifies how the language model was asked; None: it was not.
        time: When.
        last_sequence: The newest event of any user that was stored then: the history as it was known.
        items: Best first.
    """

    recommendation_id: str
    user_id: str
    release: str
    prompt: str | None
    time: datetime
    last_sequence: int
    items: tuple[ShownItem, ...]

    @classmethod
    def of(cls, answer: Recommendation, last_sequence: int, propensities: Sequence[float] = ()) -> Shown:
        """What is kept of an answer; with the propensity of each place, where some were drawn."""
        chances = propensities or (None,) * len(answer.items)
        return cls(
            answer.id,
            str(answer.user_id),
            str(answer.release),
            answer.trace.prompt_fingerprint,
            datetime.now(UTC),
            last_sequence,
            tuple(
                ShownItem(one.item.item_id, one.score, dict(one.parts), chance)
                for one, chance in zip(answer.items, chances, strict=True)
            ),
        )


@dataclass(frozen=True, slots=True)
class Evidence:
    """One reason for a score.

    Args:
        kind: event (a counterfactual), part (of the score), or attribute (shared with items of the history).
        strength: How much it lifts the score, in log-odds; negative where it lowers it. Zero for kinds without one.
        item_id: The item it is about, where there is one.
        text: What it is, in words.
    """

    kind: str
    strength: float
    item_id: str | None = None
    text: str = ""

    def to_dict(self) -> dict[str, Any]:
        """The JSON form of the contract."""
        return {"kind": self.kind, "item_id": self.item_id, "strength": self.strength, "text": self.text}


@dataclass(frozen=True, slots=True)
class Explanation:
    """Why an item got its score, in words made only from `evidence` (strongest first)."""

    user_id: str
    item: Item
    text: str
    evidence: tuple[Evidence, ...]
    trace: Trace

    def to_dict(self) -> dict[str, Any]:
        """The JSON form of the contract."""
        return {
            "user_id": self.user_id,
            "item_id": self.item.item_id,
            "title": self.item.title,
            "text": self.text,
            "evidence": [evidence.to_dict() for evidence in self.evidence],
            "trace": self.trace.to_dict(),
        }
