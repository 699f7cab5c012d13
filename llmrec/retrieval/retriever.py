"""From a history to candidates.

The user's vector is searched among the item vectors of a space (`spaces`). A history that says nothing about any item
has no vector: then the fallback is popularity, and the answer says which way it came.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from llmrec.records import Candidate, History
from llmrec.retrieval.catalogue import Catalogue
from llmrec.retrieval.spaces import Space

__all__ = ["Retrieval", "Retriever"]


@dataclass(frozen=True, slots=True)
class Retrieval:
    """Candidates, best first, and the path they came: history or popularity."""

    candidates: tuple[Candidate, ...]
    path: str


class Retriever:
    """Scores items against a history.

    Args:
        catalogue: The items, as they are now.
        space: Vectors of the items and of histories.
        counts: Events on each item, for those of whom nothing is known.
    """

    def __init__(self, catalogue: Catalogue, space: Space, counts: Mapping[str, int]) -> None:
        self.catalogue = catalogue
        self.space = space
        self._counts = counts

    def retrieve(
        self, history: History, k: int, *, among: Collection[str] | None = None, excluded: Collection[str] = ()
    ) -> Retrieval:
        """The k best items, among the given ones where there are any given, without the excluded ones."""
        query = self.space.query(history)
        if query is None:
            return Retrieval(self._most_popular(k, among=among, excluded=excluded), "popularity")
        offset = self.space.offset(query)
        found = self.space.index.search(query, k, among=among, excluded=excluded)
        return Retrieval(tuple(Candidate(self.catalogue.items[i], score + offset) for i, score in found), "history")

    def score(self, history: History, item_ids: Sequence[str]) -> Retrieval:
        """The given items with the score `retrieve` would give them, in the order given."""
        items, query = self.catalogue.require(item_ids), self.space.query(history)
        if query is None:
            known, floor = self.space.popularity(self._counts)
            return Retrieval(tuple(Candidate(item, known.get(item.item_id, floor)) for item in items), "popularity")
        offset = self.space.offset(query)
        # The last bit of a matrix product depends on a row's place in it, so the rows stand in one order always.
        canonical = sorted(item_ids)
        scores = dict(zip(canonical, self.space.index.vectors_of(canonical) @ query, strict=True))
        return Retrieval(tuple(Candidate(item, float(scores[item.item_id]) + offset) for item in items), "history")

    def _most_popular(
        self, k: int, *, among: Collection[str] | None, excluded: Collection[str]
    ) -> tuple[Candidate, ...]:
        known, floor = self.space.popularity(self._counts)
        left_out = set(excluded)
        pool = [i for i in (self.catalogue.items if among is None else among) if i not in left_out]
        pool.sort(key=lambda item_id: (-known.get(item_id, floor), item_id))
        return tuple(Candidate(self.catalogue.items[i], known.get(i, floor)) for i in pool[:k])
