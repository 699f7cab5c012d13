"""What the routes share."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, TypeVar
from weakref import WeakValueDictionary

from anyio import CapacityLimiter, to_thread

from llmrec.errors import LlmrecError
from llmrec.recommender import Recommender
from llmrec.service.web.metrics import Metrics
from llmrec.service.web.problems import RequestRefused
from llmrec.service.web.work import Work

__all__ = ["Served"]

Result = TypeVar("Result")

_logger = logging.getLogger(__name__)
_STORE_THREADS = 8
_FEEDBACK_THREADS = 4


@dataclass(slots=True)
class Served:
    """A workspace that is served.

    Args:
        rec: Its recommender.
        work: The line of requests that need the models.
        metrics: What is counted.
    """

    rec: Recommender
    work: Work
    metrics: Metrics
    _running: set[asyncio.Task[Any]] = field(default_factory=set)
    _turns: WeakValueDictionary[tuple[str, str], asyncio.Lock] = field(default_factory=WeakValueDictionary)
    _feedback: CapacityLimiter = field(default_factory=lambda: CapacityLimiter(_FEEDBACK_THREADS))
    _store: CapacityLimiter = field(default_factory=lambda: CapacityLimiter(_STORE_THREADS))

    @asynccontextmanager
    async def turn(self, user_id: str, conversation_id: str) -> AsyncIterator[None]:
        """Wait until the turns before it are done; of one conversation no two are worked on, nor hold a thread."""
        lock = self._turns.setdefault((user_id, conversation_id), asyncio.Lock())
        async with lock:
            yield

    async def taken_in(self, function: Callable[[], Result]) -> Result:
        """Store feedback: in threads of its own, whatever else waits."""
        return await to_thread.run_sync(function, limiter=self._feedback)

    async def stored(self, function: Callable[[], Result]) -> Result:
        """Read or write the store; this waits for no model."""
        return await to_thread.run_sync(function, limiter=self._store)

    def kept(self, work: Coroutine[Any, Any, Result]) -> asyncio.Task[Result]:
        """Begin something that is finished whether anybody waits for it or not."""
        task = asyncio.create_task(work)
        self._running.add(task)
        task.add_done_callback(self._running.discard)
        task.add_done_callback(_log_fault)
        return task

    async def finished(self) -> None:
        """Wait for what was begun."""
        while self._running:
            await asyncio.wait(self._running)

    def answering(self, release: str) -> Recommender:
        """The recommender as a release makes it.

        Raises:
            RequestRefused: There is no such release.
            ReleaseError: It is damaged, or does not fit.
        """
        if release not in {one.version for one in self.rec.releases.list()}:
            raise RequestRefused(404, f"there is no release {release!r}", hint="GET /v1/releases lists them")
        return self.rec.at(release)


def _log_fault(task: asyncio.Task[Any]) -> None:
    """A bug is logged also where nobody waits for the answer; a refusal is the caller's to know."""
    error = None if task.cancelled() else task.exception()
    if error is not None and not isinstance(error, LlmrecError):
        _logger.error("something that was begun failed", exc_info=error)
