"""The making of one answer: a list, an order of given items, or why an item gets its score.

history ──> retriever ──> ranker ──> fusion ──> variety, exploration ──> Recommendation
"""

from __future__ import annotations

import logging
import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial

import numpy as np

from llmrec.config import Settings
from llmrec.data import Store
from llmrec.errors import BusyError, StoreError
from llmrec.explaining import Facts, explain, worded
from llmrec.parts import Parts
from llmrec.ranking import Ranking, explored
from llmrec.records import AttributeValue, Explanation, History, RankedItem, RankedList, Recommendation, Shown
from llmrec.requests import Request
from llmrec.retrieval import Catalogue, Retrieval, diversified
from llmrec.serving import Live, Serving

__all__ = ["Answers"]

_LIKE = 3
"""Of so many times the items wanted, those most like a given one, a user's order is made."""
_logger = logging.getLogger(__name__)


class Answers:
    """Answers requests by the release that serves; what is asked was made plain before.

    Args:
        store: Keeps what is shown.
        settings: All settings.
        parts: The catalogue and the words of explanations.
        serving: The release.
        history: What is known of a user.
    """

    def __init__(
        self, store: Store, settings: Settings, parts: Parts, serving: Serving, *, history: Callable[[str], History]
    ) -> None:
        self._store = store
        self._settings = settings
        self._parts = parts
        self._serving = serving
        self._history = history

    def recommend(self, user_id: str, asked: Request) -> Recommendation:
        """The best items for a user; kept, where that is configured."""
        start = time.perf_counter()
        # The history first: whatever item it holds is then in the catalogue, also while items and feedback arrive.
        last, history = self._store.last_sequence(), self._history(user_id)
        live, catalogue = self._serving.live(), self._parts.catalogue()
        retrieval = self._retrieved(asked, history, live, catalogue)
        retrieved = time.perf_counter()
        ranker = self._serving.fused(live, catalogue, asked.llm)
        ranking = ranker.order(history, retrieval, catalogue.items, asked.context)
        seconds = {"retrieval": retrieved - start, "ranking": time.perf_counter() - retrieved}
        number = uuid.uuid4()
        items, propensities = self._placed(asked, ranking, catalogue, np.random.default_rng(number.int))
        notes = ranking.trace.notes + self._notes(asked, history)
        answer = Recommendation(
            id=number.hex,
            user_id=user_id,
            release=live.release.version,
            items=items,
            trace=replace(ranking.trace, seconds=seconds, notes=notes, attention=retrieval.attention),
            fallback=ranking.fallback,
        )
        if not self._settings.feedback.record:
            return answer
        return self._recorded(answer, Shown.of(answer, last, propensities))

    def _retrieved(self, asked: Request, history: History, live: Live, catalogue: Catalogue) -> Retrieval:
        """The candidates that the request allows."""
        configured = self._settings.retrieval
        seen = configured.filter_seen if asked.filter_seen is None else asked.filter_seen
        left_out = asked.exclude | history.hidden | (history.seen if seen else frozenset())
        among: Sequence[str] | None = None if asked.where is None else catalogue.matching(asked.where)
        if asked.like is not None:
            among = catalogue.nearest(asked.like, _LIKE * asked.n, among=among, excluded=left_out)
        retriever = self._serving.retriever(live, catalogue, asked.context)
        return retriever.retrieve(history, max(asked.n, configured.candidates), among=among, excluded=left_out)

    def _placed(
        self, asked: Request, ranking: Ranking, catalogue: Catalogue, generator: np.random.Generator
    ) -> tuple[tuple[RankedItem, ...], tuple[float, ...]]:
        """The places of the list, and the propensity of each where some are drawn."""
        drawn = self._settings.feedback.exploration
        most = len(ranking.items) if drawn else asked.n
        items = diversified(ranking.items, catalogue.index, self._variety(asked), most)
        return explored(items, asked.n, drawn, generator) if drawn else (items, ())

    def _variety(self, asked: Request) -> float:
        return self._settings.retrieval.diversity if asked.diversity is None else asked.diversity

    def _notes(self, asked: Request, history: History) -> tuple[str, ...]:
        diversity, drawn, notes = self._variety(asked), self._settings.feedback.exploration, []
        if diversity:
            notes.append(f"ordered for variety too (diversity {diversity:g}), not by score alone")
        if drawn:
            notes.append(f"{drawn:.0%} of the places are drawn, to learn about what is seldom shown")
        if not history.known:
            notes.append("the user has no history")
        return tuple(notes)

    def _recorded(self, answer: Recommendation, shown: Shown) -> Recommendation:
        """Keep what is shown; where it cannot be kept, the answer says so and is given all the same."""
        try:
            self._store.shown.keep(shown)
        except (StoreError, BusyError) as error:
            _logger.warning("a recommendation was not kept: %s", error)
            note = "it was not kept, so feedback cannot be read against it"
            return replace(answer, trace=replace(answer.trace, notes=(*answer.trace.notes, note)))
        return answer

    def rank(
        self, known: History, candidates: Sequence[str], context: Mapping[str, AttributeValue], llm: bool | None
    ) -> RankedList:
        """The candidates in their order for a history."""
        live, catalogue = self._serving.live(), self._parts.catalogue()
        catalogue.require(event.item_id for event in known.events if event.item_id)
        retrieval = self._serving.retriever(live, catalogue, context).score(known, candidates)
        ranking = self._serving.fused(live, catalogue, llm).order(known, retrieval, catalogue.items, context)
        return RankedList(ranking.items, ranking.fallback)

    def explain(self, user_id: str, item_id: str, context: Mapping[str, AttributeValue]) -> Explanation:
        """Why the item gets its score for the user."""
        start, history = time.perf_counter(), self._history(user_id)
        live, catalogue = self._serving.live(), self._parts.catalogue()
        (item,) = catalogue.require([item_id])
        explanation = explain(
            user_id,
            item,
            history,
            self._serving.retriever(live, catalogue, context),
            self._serving.fused(live, catalogue, None),
            items=catalogue.items,
            context=context,
            words=partial(self._parts.prompts.text, "why"),
            named=self._settings.explain.named,
            popular=live.popularity.get(item_id, 0.0),
            reword=partial(self._reworded, catalogue) if self._settings.explain.wording == "model" else None,
        )
        seconds = {"explanation": time.perf_counter() - start}
        return replace(explanation, trace=replace(explanation.trace, seconds=seconds))

    def _reworded(self, catalogue: Catalogue, facts: Facts, *, failed: str | None) -> tuple[str | None, str]:
        answers = self._parts.answers()
        return worded(facts, answers.current, answers.names(catalogue.items, catalogue.version), failed=failed)
