"""The making of one explanation: the score with and without each event, what follows from it, and its words."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial

from llmrec.errors import ScoringError
from llmrec.explaining.counterfactuals import score_drops
from llmrec.explaining.evidence import gather
from llmrec.explaining.facts import facts_of
from llmrec.explaining.wording import word
from llmrec.ranking import FusedRanker
from llmrec.records import AttributeValue, Explanation, History, Item
from llmrec.retrieval import Retriever

__all__ = ["explain"]

_logger = logging.getLogger(__name__)


def explain(
    user_id: str,
    item: Item,
    history: History,
    retriever: Retriever,
    fused: FusedRanker,
    *,
    items: Mapping[str, Item],
    context: Mapping[str, AttributeValue],
    words: Callable[..., str],
    named: int,
    popular: float,
    reword: Callable[..., tuple[str | None, str]] | None = None,
) -> Explanation:
    """Why the item gets its score: the events whose removal lowers it most, and its parts.

    Args:
        user_id: For whom.
        item: Which item.
        history: What is known of the user.
        retriever: Gives the one part of the score.
        fused: Gives the other, and weighs both.
        items: At least the items the history is about.
        context: The situation in words.
        words: Renders a block of the explanation's words.
        named: How many events to name on either side.
        popular: How popular the item is, relative to the most popular one: 0 to 1.
        reword: Given facts and why the language model failed, if it did, other words and a note of who found them;
            None for either: the template's words stay.
    """
    retrieval = retriever.score(history, [item.item_id])
    ranking = fused.order(history, retrieval, items, context)
    why = partial(score_drops, item, history, retriever, items=items, context=context)
    drops, failed = _with_or_without_llm(why, fused, failed=ranking.fallback)
    notes = () if failed is None else (f"the reasons are the retriever's alone: {failed}",)
    evidence = gather(
        item,
        events=history.events,
        drops=drops,
        parts=ranking.items[0].parts,
        items=items,
        render=partial(words, "event"),
        named=named,
    )
    render, known = partial(words, "why"), history.known
    text = word(item, evidence, render, named=named, path=retrieval.path, popular=popular, known=known)
    written = None
    if reword is not None:
        written, by_whom = reword(facts_of(item.title, evidence, named), failed=ranking.fallback)
        notes = (*notes, by_whom)
    trace = replace(ranking.trace, attention=retrieval.attention, notes=ranking.trace.notes + notes)
    return Explanation(user_id, item, written or text, evidence, trace, by_model=written is not None, fallback=failed)


def _with_or_without_llm(
    why: Callable[[FusedRanker], list[float]], fused: FusedRanker, *, failed: str | None
) -> tuple[list[float], str | None]:
    """How much the score falls without each event; without the language model if it fails, and why it does."""
    without = FusedRanker(fused.fusion, None, fused.pushback)
    try:
        if failed is None:
            return why(fused), None
    except ScoringError as error:
        _logger.warning("the language model failed, so the reasons are the retriever's: %s", error)
        failed = str(error)
    return why(without), failed
