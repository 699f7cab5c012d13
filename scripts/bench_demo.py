"""Time one recommendation and its parts on the demo's workspace: `make demo ARGS=--no-serve`, then `make bench`.

Packed and separate scoring take turns in one process on the same prompts, so that their ratio stands on a noisy
machine; the absolute seconds are this machine's.
"""

from __future__ import annotations

import argparse
import json
import platform
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from llmrec import Recommender
from llmrec.models import TransformersLM, resolve
from llmrec.ranking import PromptLibrary, Ranker
from llmrec.records import Candidate


def timed(call: Callable[[], object]) -> float:
    """Wall seconds of one call."""
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


def measure(rec: Recommender, user_ids: list[str], candidates: int) -> dict[str, Any]:
    """Medians over the users, each asked once in every way."""
    model = TransformersLM.load(resolve("smollm2-135m-instruct", "language-model"))
    ranker = Ranker(model, PromptLibrary())
    items = rec.catalogue().items
    rows: dict[str, list[float]] = {"recommend": [], "recommend_without_llm": [], "packed": [], "separate": []}
    rec.recommend(user_ids[0])
    for user_id in user_ids:
        rows["recommend"].append(timed(lambda: rec.recommend(user_id)))  # noqa: B023 - called at once
        rows["recommend_without_llm"].append(timed(lambda: rec.recommend(user_id, llm=False)))  # noqa: B023
        history = rec.history(user_id)
        shared = ranker.shared(history, items)
        suffixes = [ranker.candidate(Candidate(items[i], 0.0))[0] for i in list(items)[:candidates]]
        rows["packed"].append(timed(lambda: model.score(shared.ids, suffixes)))  # noqa: B023
        rows["separate"].append(timed(lambda: model.score_separately(shared.ids, suffixes)))  # noqa: B023
    medians = {name: statistics.median(seconds) for name, seconds in rows.items()}
    ratio = statistics.median(s / p for s, p in zip(rows["separate"], rows["packed"], strict=True))
    return {"seconds": medians, "separate_over_packed": ratio, "dtype": str(model.model.dtype)}


def main() -> None:
    """Measure, print, and keep the JSON where asked."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--workspace", type=Path, default=Path("demo-ml-100k"))
    parser.add_argument("--users", type=int, default=5)
    parser.add_argument("--candidates", type=int, default=50)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    with Recommender.open(arguments.workspace) as rec:
        user_ids = rec.store.users_with_history(2)[: arguments.users]
        result = measure(rec, user_ids, arguments.candidates)
    result["environment"] = {
        "processor": platform.processor() or platform.machine(),
        "threads": torch.get_num_threads(),
    }
    text = json.dumps(result, indent=2)
    print(text)
    if arguments.json:
        arguments.json.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
