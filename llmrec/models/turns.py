"""Callers of one model take turns, and none has it, or waits for it, longer than it may."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch

from llmrec.errors import ScoringError

__all__ = ["Turns", "blocks_of"]


class Turns:
    """Who may use a model now.

    Args:
        model: Its layers look at the clock before they compute.
        limit: Seconds from asking for a turn to its end; None: any.
    """

    def __init__(self, model: Any, limit: float | None) -> None:
        self._lock = threading.Lock()
        self._limit = limit
        self._deadline = float("inf")
        if limit is not None:
            for layer in blocks_of(model):
                layer.register_forward_pre_hook(self._look_at_the_clock)

    @contextmanager
    def next(self) -> Iterator[None]:
        """Wait for the turn, and have it.

        Raises:
            ScoringError: The time is over.
        """
        deadline = time.monotonic() + (float("inf") if self._limit is None else self._limit)
        if not self._lock.acquire(timeout=-1 if self._limit is None else self._limit):
            raise self._too_late("waiting for its turn")
        try:
            self._deadline = deadline
            yield
        finally:
            self._deadline = float("inf")
            self._lock.release()

    def _look_at_the_clock(self, *_: object) -> None:
        if time.monotonic() > self._deadline:
            raise self._too_late("reading the prompt")

    def _too_late(self, what: str) -> ScoringError:
        return ScoringError(
            f"{what} took longer than the {self._limit:g} seconds it may",
            hint="raise ranking.time_limit, or lower retrieval.candidates or ranking.history_tokens",
        )


def blocks_of(model: Any) -> list[Any]:
    """The blocks that a model runs one after the other: its outermost list of modules."""
    return list(next((module for module in model.modules() if isinstance(module, torch.nn.ModuleList)), []))
