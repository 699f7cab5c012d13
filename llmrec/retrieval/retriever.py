"""From a history to candidates.

The user's vector is searched among the item vectors of a space (`spaces`). A history that says nothing about any item
has no vector: then the scores come from words, attributes or popularity (`cold`), and the answer says which way.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

from llmrec.records import AttributeValue, Candidate, Event, History
from llmrec.retrieval.catalogue import Catalogue
from llmrec.retrieval.cold import ColdStart
from llmrec.retrieval.index import inner_products
from llmrec.retrieval.spaces import Query, Space

__all__ = ["Retrieval", "Retriever"]

_NAMED = 10
"""Events whose attention is told; the rest is a long tail."""


@dataclass(frozen=True, slots=True)
class Retrieval:
    """Candidates and where they come from.

    Args:
        candidates: Best first, or in the order asked for.
        path: history, words, attributes or popularity.
        attention: Path history: the events that weigh most in the user's vector, item and weight, strongest first.
    """

    candidates: tuple[Candidate, ...]
    path: str
    attention: tuple[tuple[str, float], ...] = ()


class Retriever:
    """Scores items against a history.

    Args:
        catalogue: The items, as they are now.
        space: Vectors of the items and of histories.
        cold: Scores for those whose history has no vector.
        context: The situation of the request; it is read for them alone.
    """

    def __init__(
        self,
        catalogue: Catalogue,
        space: Space,
        cold: ColdStart,
        context: Mapping[str, AttributeValue] = MappingProxyType({}),
    ) -> None:
        self.catalogue = catalogue
        self.space = space
        self._cold = cold
        self._context = context

    def retrieve(
        self, history: History, k: int, *, among: Collection[str] | None = None, excluded: Collection[str] = ()
    ) -> Retrieval:
        """The k best items, among the given ones where there are any given, without the excluded ones."""
        query = self.space.query(history)
        if query is None:
            scores, path = self._cold.scores(history, self._context)
            return self._retrieval(self._cold.best(scores, k, among=among, excluded=excluded), path)
        offset = self.space.offset(query.vector)
        found = self.space.index.search(query.vector, k, among=among, excluded=excluded)
        return self._retrieval([(item_id, score + offset) for item_id, score in found], "history", query)

    def score(self, history: History, item_ids: Sequence[str]) -> Retrieval:
        """The given items with the score `retrieve` would give them, in the order given."""
        self.catalogue.require(item_ids)
        query = self.space.query(history)
        if query is None:
            scores, path = self._cold.scores(history, self._context)
            return self._retrieval(zip(item_ids, self._cold.of(scores, item_ids), strict=True), path)
        offset = self.space.offset(query.vector)
        found = inner_products(self.space.index.vectors_of(item_ids), query.vector)
        scored = [(item_id, float(score) + offset) for item_id, score in zip(item_ids, found, strict=True)]
        return self._retrieval(scored, "history", query)

    def reads(self, history: History) -> tuple[Event, ...]:
        """The events that the scores rest on: without any other one they are the same."""
        query = self.space.query(history)
        if query is None:
            return self._cold.reads(history, self._context)
        return tuple(event for event, _ in query.attention)

    def _retrieval(self, scored: Iterable[tuple[str, float]], path: str, query: Query | None = None) -> Retrieval:
        candidates = tuple(Candidate(self.catalogue.items[item_id], score) for item_id, score in scored)
        weights = [(str(event.item_id), weight) for event, weight in query.attention if weight > 0] if query else []
        return Retrieval(candidates, path, tuple(sorted(weights, key=lambda one: -one[1])[:_NAMED]))
