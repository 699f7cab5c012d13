"""`llmrec demo`: everything on MovieLens-100K, from nothing to a recommendation with a reason."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import llmrec
import llmrec.models
from llmrec.config import FILE_NAME
from llmrec.data import fetch_dataset
from llmrec.records import Explanation, Recommendation
from llmrec.service.printing import print_explanation, print_history, print_recommendation, say

__all__ = ["run_demo"]

_SHOWN_EVENTS = 8


def run_demo(directory: Path, user_id: str, *, as_json: bool) -> dict[str, Any]:
    """Set up what is missing, recommend for one user and explain the first item.

    Args:
        directory: The workspace; what an earlier or interrupted run left there is used.
        user_id: For whom.
        as_json: Print nothing but progress; the caller prints the returned value.
    """
    with _prepared(directory) as rec:
        with _step(f"recommending for user {user_id}"):
            recommendation = rec.recommend(user_id)
        with _step("explaining the first item"):
            explanation = rec.explain(user_id, recommendation.items[0].item.item_id)
        if not as_json:
            _show(rec, user_id, recommendation, explanation)
        return {
            "workspace": str(rec.workspace.root),
            "recommendation": recommendation.to_dict(),
            "explanation": explanation.to_dict(),
        }


def _prepared(directory: Path) -> llmrec.Recommender:
    is_new = not (directory / FILE_NAME).exists()
    rec = llmrec.Recommender.create(directory) if is_new else llmrec.Recommender.open(directory)
    models = rec.settings.models
    with _step("fetching MovieLens-100K and the two models"):
        data = fetch_dataset("ml-100k")
        llmrec.models.resolve(models.text_encoder, "text-encoder")
        llmrec.models.resolve(models.language_model, "language-model")
    if not rec.store.counts()["events"]:
        with _step("importing users, items and ratings"):
            rec.import_(users=data, items=data, events=data, progress=True)
    if rec.releases.champion() is None:
        with _step("embedding the items, building the index, weighing the opinions"):
            rec.fit()
    return rec


def _show(rec: llmrec.Recommender, user_id: str, recommendation: Recommendation, explanation: Explanation) -> None:
    events = rec.store.events(user_id, limit=_SHOWN_EVENTS)
    items = rec.store.items_by_id([event.item_id for event in events if event.item_id])
    print_history(f"What user {user_id} did last", events, items)
    print_recommendation(recommendation)
    print_explanation(explanation)


@contextmanager
def _step(what: str) -> Iterator[None]:
    start = time.perf_counter()
    say(f"… {what}")
    yield
    say(f"  done in {time.perf_counter() - start:.1f} s")
