"""The order of the candidates: both opinions on each, one score, one probability, and how it came about."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from llmrec.errors import ScoringError
from llmrec.ranking.fusion import Fusion
from llmrec.ranking.pushback import Pushback
from llmrec.ranking.ranker import Ranker, SharedPrompt
from llmrec.records import AttributeValue, Candidate, History, Item, RankedItem, Trace
from llmrec.retrieval import Retrieval

__all__ = ["FusedRanker", "Ranking"]

_logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Ranking:
    """Ordered candidates, best first; `fallback` says why the language model's opinion is missing, if it failed."""

    items: tuple[RankedItem, ...]
    trace: Trace
    fallback: str | None


@dataclass(frozen=True, slots=True)
class _Opinion:
    scores: NDArray[np.float32] | None = None
    shared: SharedPrompt | None = None
    capped: int = 0
    fallback: str | None = None


class FusedRanker:
    """Orders what the retriever found.

    Args:
        fusion: The weights of the live release.
        ranker: Asks the language model; None: the retriever's order is the answer.
        pushback: What the user turned down or spoke about; None: that counts for nothing.
        failed: Why there is no ranker, though there should be one.
    """

    def __init__(
        self, fusion: Fusion, ranker: Ranker | None, pushback: Pushback | None = None, *, failed: str | None = None
    ) -> None:
        self.fusion = fusion
        self.ranker = ranker
        self.pushback = pushback
        self._failed = failed

    def order(
        self,
        history: History,
        retrieval: Retrieval,
        items: Mapping[str, Item],
        context: Mapping[str, AttributeValue] | None = None,
    ) -> Ranking:
        """Score and sort the candidates; equal scores keep the order of their ids.

        Args:
            history: What is known of the user.
            retrieval: The candidates.
            items: At least the items the history is about.
            context: The situation in words.
        """
        opinion = self._opinion(history, retrieval.candidates, items, context)
        item_ids = [candidate.item.item_id for candidate in retrieval.candidates]
        pushed = np.zeros(len(item_ids)) if self.pushback is None else self.pushback.scores(history, item_ids)
        ranked = [
            self._ranked(candidate, None if opinion.scores is None else float(opinion.scores[place]), float(push))
            for place, (candidate, push) in enumerate(zip(retrieval.candidates, pushed, strict=True))
        ]
        ranked.sort(key=lambda one: (-one.score, one.item.item_id))
        placed = tuple(
            RankedItem(rank, one.item, one.score, one.parts, one.probability) for rank, one in enumerate(ranked, 1)
        )
        return Ranking(placed, self._trace(history, retrieval, opinion), opinion.fallback)

    def _ranked(self, candidate: Candidate, llm: float | None, pushed: float) -> RankedItem:
        parts = self.fusion.parts(candidate.score, llm)
        if pushed:
            parts["feedback"] = pushed
        return RankedItem(0, candidate.item, sum(parts.values()), parts, self.fusion.probability(parts))

    def _opinion(
        self,
        history: History,
        candidates: Sequence[Candidate],
        items: Mapping[str, Item],
        context: Mapping[str, AttributeValue] | None,
    ) -> _Opinion:
        if self.ranker is None or not candidates:
            return _Opinion(fallback=self._failed)
        shared = self.ranker.shared(history, items, context)
        try:
            scores, capped = self.ranker.score(shared, candidates)
        except ScoringError as error:
            _logger.warning("the language model failed, so the retriever's order is the answer: %s", error)
            return _Opinion(shared=shared, fallback=str(error))
        return _Opinion(scores, shared, shared.capped + capped)

    def _trace(self, history: History, retrieval: Retrieval, opinion: _Opinion) -> Trace:
        notes = []
        if opinion.shared and len(opinion.shared.lines) < history.known:
            left_out = history.known - len(opinion.shared.lines)
            notes.append(f"the {left_out} oldest of {history.known} events are not in the prompt")
        if opinion.capped:
            notes.append(f"{opinion.capped} texts were shortened in the prompt")
        if self.ranker and not self.ranker.model.packs:
            notes.append(f"scored by separate prompts: {self.ranker.model.packing_note}")
        asked = self.ranker if opinion.shared else None
        return Trace(
            path=retrieval.path,
            candidates=len(retrieval.candidates),
            history_events=history.known,
            history_used=len(opinion.shared.lines) if opinion.shared else None,
            prompt_tokens=len(opinion.shared.ids) if opinion.shared else 0,
            prompt_fingerprint=asked.fingerprint if asked else None,
            model=asked.model.name if asked else None,
            packed=asked.model.packs if asked else None,
            notes=tuple(notes),
        )
