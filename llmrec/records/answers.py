"""What is answered: ranked items and how they came about, explanations and what they are made of."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from importlib import import_module
from typing import Any

from llmrec.errors import ConfigError, MissingExtraError
from llmrec.records.facts import Item

__all__ = ["Behaviour", "Candidate", "Evidence", "Explanation", "RankedItem", "RankedList", "Recommendation", "Trace"]


@dataclass(frozen=True, slots=True)
class Behaviour:
    """What others' behaviour says of an item beside a history; the prompt may tell it.

    Args:
        follows: Items of the history that it is taken soon after more often than by chance, the most telling first,
            each with the share of what comes soon after it that this item is.
        above: The share of the items that are taken more seldom than this one.
    """

    follows: tuple[tuple[Item, float], ...]
    above: float

    def without(self, item_id: str) -> Behaviour:
        """What is left where that item is not in the history."""
        return replace(self, follows=tuple(one for one in self.follows if one[0].item_id != item_id))


@dataclass(frozen=True, slots=True)
class Candidate:
    """An item the retriever proposes.

    Args:
        item: Which.
        score: The retrieval score, before any weight.
        behaviour: What may be told of it; None: nothing.
    """

    item: Item
    score: float
    behaviour: Behaviour | None = None


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


class RankedList(list[RankedItem]):
    """Given items in their order, best first.

    Args:
        items: The items.
        fallback: Why the language model did not rank them, if it should have.
    """

    def __init__(self, items: Iterable[RankedItem], fallback: str | None = None) -> None:
        super().__init__(items)
        self.fallback = fallback

    def to_dict(self) -> dict[str, Any]:
        """The JSON form of the contract."""
        return {"fallback": self.fallback, "items": [one.to_dict() for one in self]}


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
class Evidence:
    """One reason for a score.

    Args:
        kind: event (a counterfactual), part (of the score), attribute (shared with items of the history), or change
            (the event without which the score would be highest).
        strength: How much it lifts the score, in log-odds; negative where it lowers it; of a change, how much higher
            the score would be. Zero for kinds without one.
        item_id: The item it is about, where there is one.
        text: What it is, in words.
        event_id: The event it is; not in the JSON form.
    """

    kind: str
    strength: float
    item_id: str | None = None
    text: str = ""
    event_id: str | None = None

    def to_dict(self) -> dict[str, Any]:
        """The JSON form of the contract."""
        return {"kind": self.kind, "item_id": self.item_id, "strength": self.strength, "text": self.text}


@dataclass(frozen=True, slots=True)
class Explanation:
    """Why an item got its score, in words made only from `evidence` (strongest first).

    Args:
        user_id: For whom.
        item: Which item.
        text: The words.
        evidence: What they are made from.
        trace: How it came about.
        by_model: Whether the language model found the words, rather than the template; not in the JSON form.
        fallback: Why the evidence lacks the language model's opinion, if it should have it.
    """

    user_id: str
    item: Item
    text: str
    evidence: tuple[Evidence, ...]
    trace: Trace
    by_model: bool = False
    fallback: str | None = None

    def to_dict(self) -> dict[str, Any]:
        """The JSON form of the contract."""
        return {
            "user_id": self.user_id,
            "item_id": self.item.item_id,
            "title": self.item.title,
            "text": self.text,
            "fallback": self.fallback,
            "evidence": [evidence.to_dict() for evidence in self.evidence],
            "trace": self.trace.to_dict(),
        }
