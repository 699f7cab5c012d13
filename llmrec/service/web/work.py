"""How much is worked on at once, how much may wait, and who is sent away until later."""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import TypeVar

from anyio import CapacityLimiter, to_thread

from llmrec.errors import OverloadedError
from llmrec.service.web.problems import RequestRefused

__all__ = ["Gone", "RateLimit", "Work"]

Result = TypeVar("Result")
Gone = Callable[[], Awaitable[bool]]

_MOST_CALLERS = 10_000
_SMOOTHING = 0.1
"""Of what one request takes, the newest counts so much."""


class Work:
    """Requests that need the models: a few are worked on, some wait, and more are refused at once.

    It belongs to one event loop, so nothing here is locked.

    Args:
        at_once: So many are worked on, each in a thread.
        queue: So many more may wait.

    Attributes:
        present: How many there are now, those that wait included.
    """

    def __init__(self, at_once: int, queue: int) -> None:
        self.present = 0
        self._limiter = CapacityLimiter(at_once)
        self._threads = CapacityLimiter(at_once)
        self._at_once = at_once
        self._most = at_once + queue
        self._seconds = 1.0

    @asynccontextmanager
    async def admitted(self) -> AsyncIterator[None]:
        """Have a place in the line while the block runs.

        Raises:
            OverloadedError: The line is full.
        """
        if self.present >= self._most:
            raise OverloadedError(
                f"{self.present} requests are being answered or wait already",
                hint="ask again after the seconds that Retry-After says; feedback is taken meanwhile",
                retry_after=self._seconds * self.present / self._at_once,
            )
        self.present += 1
        try:
            yield
        finally:
            self.present -= 1

    async def run(self, function: Callable[[], Result], gone: Gone | None = None) -> Result:
        """Run something in a thread, when its turn comes.

        Args:
            function: What to run.
            gone: Tells, when the turn comes, whether nobody waits for it any more.

        Raises:
            RequestRefused: Nobody does.
        """

        def timed() -> tuple[Result, float]:
            start = time.perf_counter()
            return function(), time.perf_counter() - start

        async with self._limiter:
            if gone is not None and await gone():
                raise RequestRefused(408, "whoever asked has gone", hint="ask again")
            result, seconds = await to_thread.run_sync(timed, limiter=self._threads)
        self._seconds += _SMOOTHING * (seconds - self._seconds)
        return result

    async def answer(self, function: Callable[[], Result], gone: Gone | None = None) -> Result:
        """Run something as soon as there is a place; see `run`.

        Raises:
            OverloadedError: The line is full.
        """
        async with self.admitted():
            return await self.run(function, gone)


class RateLimit:
    """So many requests a minute from each caller, with a minute's worth at once (a token bucket).

    Args:
        a_minute: How many; 0: any number.
    """

    def __init__(self, a_minute: int) -> None:
        self._most = float(a_minute)
        self._left: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def wait(self, caller: str) -> float:
        """Count a request; 0 if it may be answered, else after how many seconds the next one may be."""
        if not self._most:
            return 0.0
        now = time.monotonic()
        left, then = self._left.pop(caller, (self._most, now))
        left = min(self._most, left + (now - then) * self._most / 60)
        allowed = left >= 1
        self._left[caller] = (left - allowed, now)
        while len(self._left) > _MOST_CALLERS:
            self._left.popitem(last=False)
        return 0.0 if allowed else (1 - left) * 60 / self._most
