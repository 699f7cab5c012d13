"""Held-out requests to weigh the retriever against the language model: each user's newest event is what was taken."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from llmrec.ranking.fusion import JudgedList
from llmrec.ranking.ranker import Ranker
from llmrec.records import Candidate, Event, History
from llmrec.retrieval import Catalogue, Evidence, Retriever

__all__ = ["HeldOutRequest", "judge"]


@dataclass(frozen=True, slots=True)
class HeldOutRequest:
    """What a user would have been given just before their newest event.

    Args:
        before: The history without that event.
        answer: That event.
        candidates: What the retriever proposed.
        taken: The place of the event's item among them, or None.
        excluded: What the retriever left out.
        llm: What the language model said of each, once it was asked.
    """

    before: History
    answer: Event
    candidates: tuple[Candidate, ...]
    taken: int | None
    excluded: frozenset[str] = frozenset()
    llm: NDArray[np.float32] | None = None

    def asked(self, ranker: Ranker, catalogue: Catalogue) -> HeldOutRequest:
        """The same request with the language model's opinion."""
        shared = ranker.shared(self.before, catalogue.items)
        scores, _ = ranker.score(shared, self.candidates)
        return replace(self, llm=scores)

    def rescored(self, scores: NDArray[np.float64]) -> HeldOutRequest:
        """The same candidates with other scores, best first."""
        order = np.argsort(-scores, kind="stable").tolist()
        candidates = tuple(replace(self.candidates[place], score=float(scores[place])) for place in order)
        return replace(self, candidates=candidates, taken=None if self.taken is None else order.index(self.taken))

    def weighed(self, weight: float) -> HeldOutRequest:
        """The same with scores of so many times the size."""
        if weight == 1.0:
            return self
        return replace(self, candidates=tuple(replace(one, score=weight * one.score) for one in self.candidates))

    def told(self, retriever: Retriever, evidence: Evidence | None = None) -> HeldOutRequest:
        """The same candidates with what behaviour says of them, by other counts than the retriever's if given."""
        known = retriever.behaviour(self.before, [one.item.item_id for one in self.candidates], evidence)
        told = (replace(one, behaviour=of_one) for one, of_one in zip(self.candidates, known, strict=True))
        return replace(self, candidates=tuple(told))

    def judged(self) -> JudgedList:
        """The scores alone; only for a request whose item was among the candidates."""
        assert self.taken is not None
        retrieval = np.array([candidate.score for candidate in self.candidates])
        return JudgedList(retrieval, None if self.llm is None else self.llm.astype(np.float64), self.taken)


def judge(
    histories: Iterable[History], retriever: Retriever, k: int, *, filter_seen: bool = True
) -> list[HeldOutRequest]:
    """Retrieve k candidates for each history without its newest event, which must be on a wanted item.

    Args:
        histories: Each with the event that is foretold.
        retriever: Proposes.
        k: How many candidates.
        filter_seen: Whether what a user has met is left out, as `[retrieval] filter_seen` says of requests.
    """
    requests = []
    for history in histories:
        before = History(history.user, history.events[:-1], known=history.known - 1)
        target = history.events[-1].item_id
        # Where users are offered what they know, a list with one known item alone would give the answer away.
        excluded = (history.seen if filter_seen else history.hidden) - {str(target)}
        candidates = retriever.retrieve(before, k, excluded=excluded).candidates
        taken = next((place for place, one in enumerate(candidates) if one.item.item_id == target), None)
        requests.append(HeldOutRequest(before, history.events[-1], candidates, taken, excluded))
    return requests
