"""From a history to candidates.

The user's vector is searched among the item vectors of a space (`spaces`); where it is wanted, some places are for the
items whose texts are nearest to the newest one's. A history that says nothing about any item has no vector: then the
scores come from words, attributes or popularity (`cold`), and the answer says which way.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from llmrec.records import AttributeValue, Behaviour, Candidate, Event, History
from llmrec.retrieval.catalogue import Catalogue
from llmrec.retrieval.cold import ColdStart
from llmrec.retrieval.evidence import TEXT_HALF_LIFE, Evidence
from llmrec.retrieval.index import inner_products
from llmrec.retrieval.spaces import Query, Space, decayed_mean

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
        evidence: Orders what the space proposes; None: the space's own scores do.
        told: Of so many items of the history each candidate says that it often follows them, and how common it is;
            0: candidates say nothing.
        text_share: So much of the candidates are those whose texts are nearest to that of the newest item of the
            history, whatever the space says of them; None: as the evidence was weighed for.
    """

    def __init__(
        self,
        catalogue: Catalogue,
        space: Space,
        cold: ColdStart,
        context: Mapping[str, AttributeValue] = MappingProxyType({}),
        evidence: Evidence | None = None,
        *,
        told: int = 0,
        text_share: float | None = None,
    ) -> None:
        self.catalogue = catalogue
        self.evidence = evidence
        self._told = told
        weighed_for = evidence.text_share if evidence else 0.0
        self._text_share = weighed_for if text_share is None else text_share
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
        near = round(self._text_share * k)
        found = self.space.index.search(query.vector, k - near, among=among, excluded=excluded)
        if near:
            texts, met = self.catalogue.index, {item_id for item_id, _ in found}
            nearest = texts.search(self._newest_text(query), near, among=among, excluded=met.union(excluded))
            found += self._products([item_id for item_id, _ in nearest], query)
        scored = self._scored(found, query)
        return self._retrieval(sorted(scored, key=lambda one: -one[1]), "history", query)

    def score(self, history: History, item_ids: Sequence[str]) -> Retrieval:
        """The given items with the score `retrieve` would give them, in the order given."""
        self.catalogue.require(item_ids)
        query = self.space.query(history)
        if query is None:
            scores, path = self._cold.scores(history, self._context)
            return self._retrieval(zip(item_ids, self._cold.of(scores, item_ids), strict=True), path)
        return self._retrieval(self._scored(self._products(item_ids, query), query), "history", query)

    def reads(self, history: History) -> tuple[Event, ...]:
        """The events that the scores rest on: without any other one they are the same."""
        query = self.space.query(history)
        if query is None:
            return self._cold.reads(history, self._context)
        return tuple(event for event, _ in query.attention)

    def with_evidence(self, evidence: Evidence | None) -> Retriever:
        """The same with other evidence."""
        parts = (self.catalogue, self.space, self._cold, self._context, evidence)
        return Retriever(*parts, told=self._told, text_share=self._text_share)

    def behaviour(
        self, history: History, item_ids: Sequence[str], evidence: Evidence | None = None
    ) -> list[Behaviour | None]:
        """What candidates say of themselves beside a history; nothing where that is not wanted, or not known.

        Args:
            history: Of whom.
            item_ids: The candidates.
            evidence: Other counts than the own ones.
        """
        return self._behaviour(item_ids, self.space.query(history), evidence or self.evidence)

    def _behaviour(
        self, item_ids: Sequence[str], query: Query | None, evidence: Evidence | None
    ) -> list[Behaviour | None]:
        if query is None or evidence is None or not self._told:
            return [None] * len(item_ids)
        taken = [str(event.item_id) for event, _ in query.attention]
        history, listed = _rows(taken, evidence), _rows(item_ids, evidence)
        items = self.catalogue.items
        return [
            Behaviour(tuple((items[taken[place]], share) for place, share in places), float(above))
            for places, above in zip(
                evidence.followed(history, listed, self._told), evidence.above(listed), strict=True
            )
        ]

    def features(self, history: History, item_ids: Sequence[str], evidence: Evidence) -> NDArray[np.float64] | None:
        """What speaks for items beside a history, float64 [items, features]; None where it says nothing about any."""
        query = self.space.query(history)
        return None if query is None else self._features(item_ids, query, evidence)

    def _features(self, item_ids: Sequence[str], query: Query, evidence: Evidence) -> NDArray[np.float64]:
        taken = [str(event.item_id) for event, _ in query.attention]
        vectors = self.catalogue.index.vectors_of
        listed, told = vectors(item_ids), decayed_mean(vectors(taken[::-1]), TEXT_HALF_LIFE)
        return evidence.features(
            _rows(taken, evidence),
            _rows(item_ids, evidence),
            np.zeros(len(item_ids)) if told is None else inner_products(listed, told).astype(np.float64),
            inner_products(listed, self._newest_text(query)).astype(np.float64) if evidence.text_share else None,
        )

    def _newest_text(self, query: Query) -> NDArray[np.float32]:
        """The text vector of the newest item that the query rests on, float32 [dimension]."""
        newest: NDArray[np.float32] = self.catalogue.index.vectors_of([str(query.attention[-1][0].item_id)])[0]
        return newest

    def _products(self, item_ids: Sequence[str], query: Query) -> list[tuple[str, float]]:
        """Items with what a search among them would give them."""
        found = inner_products(self.space.index.vectors_of(item_ids), query.vector)
        return list(zip(item_ids, found.tolist(), strict=True))

    def _scored(self, found: Sequence[tuple[str, float]], query: Query) -> list[tuple[str, float]]:
        """What was found, with the space's score and what evidence makes of it, in the order given."""
        offset = self.space.offset(query.vector)
        return self.rescored([(item_id, score + offset) for item_id, score in found], query)

    def rescored(self, scored: list[tuple[str, float]], query: Query) -> list[tuple[str, float]]:
        """Items, each with the space's score, with the score that evidence gives them, in the order given."""
        if self.evidence is None or not scored:
            return scored
        item_ids, scores = zip(*scored, strict=True)
        features = self._features(item_ids, query, self.evidence)
        return list(zip(item_ids, self.evidence.rescored(np.array(scores), features).tolist(), strict=True))

    def _retrieval(self, scored: Iterable[tuple[str, float]], path: str, query: Query | None = None) -> Retrieval:
        listed = list(scored)
        told = self._behaviour([item_id for item_id, _ in listed], query, self.evidence)
        candidates = tuple(
            Candidate(self.catalogue.items[item_id], score, behaviour)
            for (item_id, score), behaviour in zip(listed, told, strict=True)
        )
        weights = [(str(event.item_id), weight) for event, weight in query.attention if weight > 0] if query else []
        return Retrieval(candidates, path, tuple(sorted(weights, key=lambda one: -one[1])[:_NAMED]))


def _rows(item_ids: Sequence[str], evidence: Evidence) -> NDArray[np.int64]:
    """The items as the evidence counts them; -1: it does not know them."""
    return np.array([evidence.rows.get(item_id, -1) for item_id in item_ids], dtype=np.int64)
