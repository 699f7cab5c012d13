"""`llmrec demo`: everything on MovieLens-100K, from nothing to a recommendation with a reason."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import Any

import llmrec
import llmrec.models
from llmrec.config import FILE_NAME
from llmrec.data import fetch_dataset, read
from llmrec.data.rows import record_of
from llmrec.errors import ModelError, ReleaseError, WorkspaceError
from llmrec.records import Item, Recommendation
from llmrec.releases import shipped_release
from llmrec.service.printing import print_explanation, print_history, print_recommendation, say

__all__ = ["run_demo"]

_DATASET = "ml-100k"
_SHOWN_EVENTS = 8
_COMPARED = 50
# As the shipped release was trained. Where it cannot be used, a first answer soon: the training is cut short.
# A retraining is cut short too, so that one goes through all its steps on two cores in a quarter of an hour.
_SETTINGS = {
    "encoder": {"epochs": 12},
    "ranking": {"attributes": 0},
    "learning": {"most_lists": 150, "last_layers": 6, "validation_lists": 16, "gate_users": 40},
}


def run_demo(directory: Path, user_id: str, *, as_json: bool) -> dict[str, Any]:
    """Set up what is missing, recommend for one user and explain the first item.

    Args:
        directory: The workspace; what an earlier or interrupted run left there is used.
        user_id: For whom.
        as_json: Print nothing but progress; the caller prints the returned value.

    Raises:
        WorkspaceError: The workspace holds other data than the demo's.
    """
    with _opened(directory) as rec:
        _prepare(rec)
        with _step(f"recommending for user {user_id}"):
            recommendation = rec.recommend(user_id)
        if not as_json:
            # Shown before the explanation, which takes longer, is begun.
            _show(rec, user_id, recommendation)
        explanation = None
        if recommendation.items:
            with _step("explaining the first item"):
                explanation = rec.explain(user_id, recommendation.items[0].item.item_id)
        if explanation and not as_json:
            print_explanation(explanation)
        return {
            "workspace": str(rec.workspace.root),
            "recommendation": recommendation.to_dict(),
            "explanation": explanation.to_dict() if explanation else None,
        }


def _opened(directory: Path) -> llmrec.Recommender:
    is_new = not (directory / FILE_NAME).exists()
    return llmrec.Recommender.create(directory, _SETTINGS) if is_new else llmrec.Recommender.open(directory)


def _prepare(rec: llmrec.Recommender) -> None:
    with _step("fetching MovieLens-100K and the two models"):
        data = fetch_dataset(_DATASET)
        is_empty = not any(rec.store.counts().values())
        if not is_empty:
            _require_demo(rec, data)
        models = rec.settings.models
        llmrec.models.resolve(models.text_encoder, "text-encoder")
        llmrec.models.resolve(models.language_model, "language-model")
    if is_empty:
        with _step("importing users, items and ratings"):
            rec.import_(users=data, items=data, events=data, progress=True)
    if rec.store.aliases.now("rank") is None and not _took_up_shipped(rec):
        with _step("embedding the items, training the sequence encoder, weighing the opinions"):
            rec.fit()


def _took_up_shipped(rec: llmrec.Recommender) -> bool:
    """Make the release live that comes with llmrec; False where there is none, or it does not fit these settings."""
    directory = shipped_release(_DATASET)
    if directory is None:
        return False
    with _step("taking up the release that comes with llmrec: encoder, adapter, weights"):
        try:
            rec.install(directory)
        except (ReleaseError, ModelError) as error:
            say(f"  it does not fit ({error}), so one is made")
            return False
    return True


def _require_demo(rec: llmrec.Recommender, data: Path) -> None:
    """Refuse a workspace whose first items are not the data set's: it is somebody's own."""
    wanted = _names(_first_items(data))
    if _names(islice(rec.store.items(), len(wanted))) != wanted:
        raise WorkspaceError(
            f"{rec.workspace.root} holds other data than the demo's",
            hint="name a new directory for the demo, `llmrec demo -w DIR`",
        )


def _first_items(data: Path) -> Iterator[Item]:
    (source,) = read(data, "items")
    for _, content in islice(source.rows(), _COMPARED):
        record = record_of("items", content, typed=source.typed)
        assert isinstance(record, Item)
        yield record


def _names(items: Iterator[Item]) -> list[tuple[str, str]]:
    return [(item.item_id, item.title) for item in items]


def _show(rec: llmrec.Recommender, user_id: str, recommendation: Recommendation) -> None:
    events = rec.store.events(user_id, limit=_SHOWN_EVENTS)
    items = rec.store.items_by_id([event.item_id for event in events if event.item_id])
    print_history(f"What user {user_id} did last", events, items)
    print_recommendation(recommendation)


@contextmanager
def _step(what: str) -> Iterator[None]:
    start = time.perf_counter()
    say(f"… {what}")
    yield
    say(f"  done in {time.perf_counter() - start:.1f} s")
