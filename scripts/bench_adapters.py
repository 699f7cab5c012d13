"""What merging a LoRA adapter into the base's weights would save, and what it would change.

    python scripts/bench_ranking.py --adapter adapters/ml-100k/adapter --workspace demo-ml-100k --json adapters.json

Unmerged (as served) and merged take turns on the same lists: those of a workspace's users, or, without one, made-up
prompts of the size M. In float32 and bfloat16: seconds, how many times as long unmerged takes, the largest and the mean
difference of a score from float32 unmerged, and Kendall's tau with it within a list.
"""

from __future__ import annotations

import statistics
import time
from itertools import islice
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from peft.tuners.lora import LoraLayer
from scipy.stats import kendalltau

from llmrec import Recommender
from llmrec.models import ModelSource, TransformersLM
from llmrec.models.loading import DtypeName
from llmrec.models.tree import Ids

__all__ = ["compare_adapter", "lists_of"]

Lists = list[tuple[Ids, list[Ids]]]
Scores = list[np.ndarray[Any, np.dtype[np.float32]]]

NAME = "bench"


def lists_of(workspace: Path, most: int) -> Lists:
    """The prompts of the first users' lists, as the workspace's live release asks them."""
    with Recommender.open(workspace) as rec:
        retriever, fused = rec.answering()
        assert fused.ranker is not None, "its language model is switched off"
        items, found = retriever.catalogue.items, []
        for user in islice(rec.users(), most):
            history = rec.history(user.user_id)
            candidates = retriever.retrieve(history, 50, excluded=history.seen).candidates
            suffixes = [fused.ranker.candidate(one.item)[0] for one in candidates]
            found.append((tuple(fused.ranker.shared(history, items).ids), suffixes))
    return found


def compare_adapter(
    source: ModelSource, adapter: Path, lists: Lists, *, device: str = "auto", batch_tokens: int = 4096
) -> dict[str, Any]:
    """Both ways in both number formats, as the JSON has it."""
    found: dict[str, tuple[list[float], Scores]] = {}
    for dtype in ("float32", "bfloat16"):
        served, merged = (
            TransformersLM.load(source, device=device, dtype=cast(DtypeName, dtype), batch_tokens=batch_tokens)
            for _ in range(2)
        )
        for model in (served, merged):
            model.add_adapter(NAME, adapter)
        _merge(merged)
        found |= {f"{dtype} {way}": each for way, each in _in_turn(served, merged, lists).items()}
    expected = found["float32 unmerged"][1]
    result: dict[str, Any] = {name: _figures(*each, expected) for name, each in found.items()}
    for dtype in ("float32", "bfloat16"):
        pairs = zip(*(found[f"{dtype} {way}"][0] for way in ("unmerged", "merged")), strict=True)
        result[f"{dtype} ratio"] = statistics.median(one / other for one, other in pairs)
    return result | {"lists": len(lists), "spread": float(np.mean([scores.std() for scores in expected]))}


def _in_turn(served: TransformersLM, merged: TransformersLM, lists: Lists) -> dict[str, tuple[list[float], Scores]]:
    """Seconds and scores of each list, both ways."""
    seconds: dict[str, list[float]] = {"unmerged": [], "merged": []}
    scores: dict[str, Scores] = {"unmerged": [], "merged": []}
    for asked in lists[:1] + lists:  # the first warms up
        for way, model, adapter in (("unmerged", served, NAME), ("merged", merged, None)):
            start = time.perf_counter()
            scores[way].append(model.score(*asked, adapter=adapter))
            seconds[way].append(time.perf_counter() - start)
    return {way: (seconds[way][1:], scores[way][1:]) for way in seconds}


@torch.no_grad()
def _merge(model: TransformersLM) -> None:
    """Add the adapter's product to the weights, rounded to their format, and let go of the adapter."""
    own = model._adapters._names[NAME]
    for layer in model.model.modules():
        if isinstance(layer, LoraLayer):
            layer.base_layer.weight += layer.get_delta_weight(own)
    model.remove_adapter(NAME)


def _figures(seconds: list[float], scores: Scores, expected: Scores) -> dict[str, float]:
    gaps = [np.abs(one - other) for one, other in zip(scores, expected, strict=True)]
    orders = [kendalltau(one, other).statistic for one, other in zip(scores, expected, strict=True)]
    return {
        "seconds": statistics.median(seconds),
        "largest_gap": max(float(gap.max()) for gap in gaps),
        "mean_gap": float(np.mean([gap.mean() for gap in gaps])),
        "tau": float(np.mean(orders)),
    }
