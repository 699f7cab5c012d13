"""One thread owns a language model; callers from other threads leave their prompts with it and wait for the scores.

Prompts that wait for the same weights are read in one pass, where that pays: on a GPU a pass of several users' prompts
takes little longer than one's. What one of them would get alone, each gets, but for rounding.
"""

from __future__ import annotations

import logging
import queue
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from llmrec.errors import ScoringError
from llmrec.models.protocols import LanguageModel
from llmrec.models.segments import Segment
from llmrec.models.tree import PromptTree, flat

__all__ = ["ModelThread", "SharedLM"]

_logger = logging.getLogger(__name__)
_TIMED_OUT = "raise ranking.time_limit, or lower retrieval.candidates or ranking.history_tokens"


@dataclass(eq=False, slots=True)
class _Job:
    """What is to be done: prompts to score, or anything else that needs the model for itself."""

    model: LanguageModel | None
    work: Sequence[PromptTree] | Callable[[], Any]
    deadline: float
    result: Future[Any] = field(default_factory=Future)


class ModelThread:
    """The thread.

    Args:
        at_once: Prompts of so many calls are read together at most.
        time_limit: Seconds a call waits for its scores; None: any.

    Attributes:
        passes: How many passes there were.
        calls: How many calls they answered.
    """

    def __init__(self, *, at_once: int = 1, time_limit: float | None = None) -> None:
        self.passes = self.calls = 0
        self._at_once = at_once
        self._limit = time_limit
        self._jobs: queue.SimpleQueue[_Job | None] = queue.SimpleQueue()
        self._left: list[_Job] = []
        self._closed = False
        self._thread = threading.Thread(target=self._work, name="language-model", daemon=True)
        self._thread.start()

    @property
    def waiting(self) -> int:
        """About how many calls wait."""
        return self._jobs.qsize() + len(self._left)

    def close(self) -> None:
        """End the thread when it has done what waits."""
        self._closed = True
        self._jobs.put(None)
        self._thread.join()

    def do(self, work: Callable[[], Any]) -> Any:
        """Run something in the thread, in its turn, and return what it returns."""
        return self._waited(_Job(None, work, float("inf")), None)

    def score(self, model: LanguageModel, trees: Sequence[PromptTree]) -> NDArray[np.float32]:
        """What `model.score_trees` gives.

        Raises:
            ScoringError: The model failed, or the time is over.
        """
        deadline = float("inf") if self._limit is None else time.monotonic() + self._limit
        scores: NDArray[np.float32] = self._waited(_Job(model, trees, deadline), self._limit)
        return scores

    def _waited(self, job: _Job, limit: float | None) -> Any:
        if self._closed:
            raise _let_go()
        self._jobs.put(job)
        if not self._thread.is_alive():  # it ended in between, and nobody takes the job any more
            raise _let_go()
        try:
            return job.result.result(limit)
        except TimeoutError:
            job.result.cancel()
            raise ScoringError(f"its scores took longer than {limit:g} seconds", hint=_TIMED_OUT) from None

    def _work(self) -> None:
        while (job := self._next()) is not None:
            if not callable(job.work):
                self._read([job, *self._alike(job)])
            elif job.result.set_running_or_notify_cancel():
                _settle(job, job.work)
        while not self._jobs.empty():  # who came while it was being closed
            late = self._jobs.get()
            if late is not None and late.result.set_running_or_notify_cancel():
                late.result.set_exception(_let_go())

    def _next(self) -> _Job | None:
        return self._left.pop(0) if self._left else self._jobs.get()

    def _alike(self, first: _Job) -> list[_Job]:
        """Jobs that wait for the same weights; the first of another kind, and what came behind it, stays in line."""
        found: list[_Job] = []
        while len(found) + 1 < self._at_once:
            try:
                job = self._left.pop(0) if self._left else self._jobs.get_nowait()
            except queue.Empty:
                break
            if job is None:
                self._jobs.put(None)
                break
            if callable(job.work) or job.model != first.model:
                self._left.insert(0, job)
                break
            found.append(job)
        return found

    def _read(self, jobs: list[_Job]) -> None:
        wanted: list[_Job] = []
        for job in jobs:
            if not job.result.set_running_or_notify_cancel():
                continue  # whoever asked has given up
            if job.deadline > time.monotonic():
                wanted.append(job)
            else:
                job.result.set_exception(ScoringError("its turn came too late", hint=_TIMED_OUT))
        self.passes, self.calls = self.passes + bool(wanted), self.calls + len(wanted)
        if len(wanted) > 1 and self._read_together(wanted):
            return
        for job in wanted:
            if job.deadline > time.monotonic():
                _settle(job, partial(_scores, job.model, job.work))
            else:
                job.result.set_exception(ScoringError("its turn came too late", hint=_TIMED_OUT))

    def _read_together(self, jobs: list[_Job]) -> bool:
        """Read all in one pass; False where that fails, so that nobody's prompts spoil another's answer."""
        try:
            scores = _scores(jobs[0].model, [tree for job in jobs for tree in _trees(job)])
        except Exception as error:  # noqa: BLE001 - alone, each is told of its own fault; the thread must go on
            _logger.warning("%d calls are read one by one, because together: %s", len(jobs), error)
            return False
        ends = np.cumsum([sum(tree.leaves for tree in _trees(job)) for job in jobs])[:-1]
        for job, own in zip(jobs, np.split(scores, ends), strict=True):
            job.result.set_result(own)
        return True


@dataclass(frozen=True, slots=True)
class SharedLM:
    """A language model that a thread owns: offers what the model does to all other threads.

    Args:
        model: The model, which nothing but the thread uses.
        thread: The thread.
    """

    model: LanguageModel
    thread: ModelThread

    @property
    def name(self) -> str:
        """The model's."""
        return self.model.name

    @property
    def sha256(self) -> str:
        """The model's."""
        return self.model.sha256

    @property
    def packs(self) -> bool:
        """Whether many suffixes are scored in one pass over their shared prefix."""
        return self.model.packs

    @property
    def packing_note(self) -> str:
        """Why prompts are not read as a tree; empty if they are."""
        return self.model.packing_note

    def tokenize(self, segment: Segment) -> list[int]:
        """The token ids of one segment."""
        return self.model.tokenize(segment)

    def cap(self, text: str, tokens: int) -> tuple[list[int], bool]:
        """The first `tokens` ids of foreign text, and whether something was cut off."""
        return self.model.cap(text, tokens)

    def text(self, ids: Sequence[int]) -> str:
        """What token ids say."""
        return self.model.text(ids)

    def adapted(self, name: str, directory: Path) -> SharedLM:
        """The model with an adapter, loaded by the thread in its turn.

        Raises:
            ModelError: It is no adapter for this model.
        """
        return SharedLM(self.thread.do(lambda: self.model.adapted(name, directory)), self.thread)

    def remove_adapter(self, name: str) -> None:
        """Let go of an adapter, in its turn."""
        self.thread.do(lambda: self.model.remove_adapter(name))

    def score(self, prefix: Sequence[int], suffixes: Sequence[Sequence[int]]) -> NDArray[np.float32]:
        """As the model's."""
        return self.score_trees([flat(prefix, suffixes)]) if suffixes else np.zeros(0, np.float32)

    def score_trees(self, trees: Sequence[PromptTree]) -> NDArray[np.float32]:
        """As the model's."""
        return self.thread.score(self.model, trees) if trees else np.zeros(0, np.float32)

    def write(self, prompt: Sequence[int], most: int, *, begin: Sequence[int] = ()) -> str:
        """As the model's, in its turn."""
        return str(self.thread.do(lambda: self.model.write(prompt, most, begin=begin)))

    def log_likelihoods(self, texts: Sequence[tuple[Sequence[int], Sequence[int]]]) -> NDArray[np.float64]:
        """As the model's, in its turn."""
        chances: NDArray[np.float64] = self.thread.do(lambda: self.model.log_likelihoods(texts))
        return chances


def _let_go() -> ScoringError:
    return ScoringError("the language model was let go", hint="the server is shutting down: ask again later")


def _trees(job: _Job) -> Sequence[PromptTree]:
    assert not callable(job.work)
    return job.work


def _scores(model: LanguageModel | None, trees: Any) -> NDArray[np.float32]:
    assert model is not None
    return model.score_trees(trees)


def _settle(job: _Job, work: Callable[[], Any]) -> None:
    try:
        job.result.set_result(work())
    except Exception as error:  # noqa: BLE001 - whoever asked is told; the thread must go on
        job.result.set_exception(error)
