"""True counterfactuals: how much an item's score falls when one event had not happened.

Each score is the one a request without that event would get, with trimming frozen: no older event moves into the gap.
An event that the prompt no longer holds can only act through retrieval, so the language model is asked about the
others alone. Where there is one event only, the prompt without it is that of a user nothing is known of.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime

import numpy as np
from numpy.typing import NDArray

from llmrec.ranking import FusedRanker, Pushback, Ranker, SharedPrompt
from llmrec.records import AttributeValue, Candidate, History, Item
from llmrec.retrieval import Retriever

__all__ = ["score_drops"]


def score_drops(
    item: Item,
    history: History,
    retriever: Retriever,
    fused: FusedRanker,
    *,
    items: Mapping[str, Item],
    context: Mapping[str, AttributeValue] | None = None,
) -> list[float]:
    """How much the item's score falls without each event, in the order of the events.

    Raises:
        ScoringError: The language model failed.
    """
    drops = fused.fusion.retrieval_weight * _retrieval_drops(item, history, retriever)
    if fused.ranker is not None:
        shared = fused.ranker.shared(history, items, context)
        (candidate,) = retriever.score(history, [item.item_id]).candidates
        drops += fused.fusion.llm_weight * _llm_drops(candidate, shared, fused.ranker, len(history.events))
    if fused.pushback is not None:
        drops += _pushback_drops(item, history, fused.pushback)
    return [float(drop) for drop in drops]


def _retrieval_drops(item: Item, history: History, retriever: Retriever) -> NDArray[np.float64]:
    """How much the retrieval score falls without each event, [events]."""
    read = retriever.reads(history)
    ids, takes = {id(event) for event in read}, any(event.item_id for event in read)
    # Without anything taken, what was said is read instead, so that stays; nothing older moves into the gap.
    kept = (one for one in history.events if id(one) in ids or (takes and one.item_id is None))
    frozen = History(history.user, tuple(kept))

    def score(known: History) -> float:
        return retriever.score(known, [item.item_id]).candidates[0].score

    whole = score(frozen)
    return np.array([whole - score(frozen.without(one)) if id(one) in ids else 0.0 for one in history.events])


def _pushback_drops(item: Item, history: History, pushback: Pushback) -> NDArray[np.float64]:
    """How much what was turned down lowers the score, as drops below 0, [events]; its time stands still."""
    frozen = replace(pushback, now=pushback.now or datetime.now(UTC))
    pushes = {id(event) for event, _ in frozen.turned_down(history)}
    whole = frozen.scores(history, [item.item_id])[0] if pushes else 0.0
    return np.array(
        [
            whole - frozen.scores(history.without(event), [item.item_id])[0] if id(event) in pushes else 0.0
            for event in history.events
        ]
    )


def _llm_drops(candidate: Candidate, shared: SharedPrompt, ranker: Ranker, events: int) -> NDArray[np.float64]:
    """How much the language model's opinion falls without each of the events, of which the prompt holds the newest."""
    drops = np.zeros(events)
    without = ranker.score_without_each(shared, candidate)
    if len(without):
        whole, _ = ranker.score(shared, [candidate])
        drops[-len(without) :] = whole[0] - without
    return drops
