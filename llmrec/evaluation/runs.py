"""Runs: what one system answered to the requests of a split, and how long it took."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from llmrec.errors import DataError
from llmrec.evaluation.interactions import Floats, Rows
from llmrec.evaluation.metrics import check_lists
from llmrec.evaluation.protocols import Split, training_interactions
from llmrec.evaluation.systems import Scorer, System

__all__ = ["Run", "Trained", "run"]


@runtime_checkable
class Trained(Protocol):
    """A system whose training may be taken up from an earlier call."""

    @property
    def fit_seconds(self) -> float:
        """What the whole training took, what was done in earlier calls included."""


@dataclass(frozen=True, slots=True, eq=False)
class Run:
    """The answers of one system.

    Args:
        system: Its name.
        lists: The best items of each request, int64 [n, depth], best first, filled up with -1.
        seconds: Wall time of `fit`, of a `Trained` system what its training took, and of `rank`.
        target_scores: What it thought of each target, float64 [target events]; None where it cannot say.
    """

    system: str
    lists: Rows
    seconds: dict[str, float]
    target_scores: Floats | None = None


def run(system: System, split: Split, *, depth: int = 50) -> Run:
    """Fit a system on what it may know, and ask it for lists of `depth` items.

    Raises:
        DataError: Its lists have another shape, or hold an item twice or one of the history.
    """
    started = time.perf_counter()
    system.fit(training_interactions(split))
    fitted = time.perf_counter()
    lists = system.rank(split.requests, depth)
    ranked = time.perf_counter()
    if lists.shape != (len(split.requests), depth):
        raise DataError(
            f"{system.name} gave lists of the shape {lists.shape} for {len(split.requests)} requests",
            hint=f"give {depth} items for each, filled up with -1",
        )
    check_lists(lists, split.requests.histories, len(split.interactions.item_ids))
    fitting = system.fit_seconds if isinstance(system, Trained) else fitted - started
    seconds = {"fit": fitting, "rank": ranked - fitted}
    return Run(system.name, lists, seconds, _target_scores(system, split))


def _target_scores(system: System, split: Split) -> Floats | None:
    """Only where the targets are rated: nothing else is made of these scores."""
    if split.targets.values is None or not isinstance(system, Scorer):
        return None
    return system.score(split.requests, split.targets)
