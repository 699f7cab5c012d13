"""The outermost layer: a request gets an id, passes the door, is answered whatever happens, counted and noted.

Plain ASGI: nothing is buffered, so answers can stream.
"""

from __future__ import annotations

import json
import logging
import time
import uuid
from typing import Any
from urllib.parse import unquote

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from llmrec.errors import LlmrecError
from llmrec.service.web.bodies import SLASH
from llmrec.service.web.door import Door
from llmrec.service.web.metrics import Metrics
from llmrec.service.web.problems import answer_of

__all__ = ["Guard"]

_logger = logging.getLogger("llmrec.access")
_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "font-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
}
_LONGEST_ID = 64
_METHODS = {"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"}
_REFUSED = {401: "key", 429: "rate", 503: "busy"}


class Guard:
    """The layer.

    Args:
        app: What answers.
        door: What a request must pass.
        metrics: What is counted.
    """

    def __init__(self, app: ASGIApp, door: Door, metrics: Metrics) -> None:
        self.app = app
        self._door = door
        self._metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request, or the server's own beginning and end."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        start, status = time.perf_counter(), 500
        scope["request_id"] = _request_id(Headers(scope=scope))
        scope["path"] = _path_of(scope)

        async def sent(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                self._mark(scope, MutableHeaders(scope=message))
            await send(message)

        try:
            await self._answer(scope, receive, sent)
        finally:
            self._note(scope, status, time.perf_counter() - start)

    async def _answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        began = False

        async def sending(message: Message) -> None:
            nonlocal began
            began = True
            await send(message)

        try:
            self._door.admit(scope)
            await self.app(scope, self._door.bounded(scope, receive), sending)
        except Exception as error:
            if not isinstance(error, LlmrecError):  # a bug: it is logged with its traceback, and its words stay here
                _logger.exception("request %s failed", scope["request_id"])
            if not began:
                await answer_of(error, scope["path"], scope["request_id"])(scope, receive, send)

    def _mark(self, scope: Scope, headers: MutableHeaders) -> None:
        headers["X-Request-ID"] = scope["request_id"]
        for name, value in _HEADERS.items():
            headers.setdefault(name, value)
        headers["Content-Security-Policy"] = _POLICY
        if scope["path"].startswith("/v1/"):
            headers.setdefault("Cache-Control", "no-store")

    def _note(self, scope: Scope, status: int, seconds: float) -> None:
        """Keep what the request was, by its kind: ids and words in a path are somebody's."""
        route = getattr(scope.get("route"), "path", "other")
        # Anybody may make up methods, and each would be a series.
        method = scope["method"] if scope["method"] in _METHODS else "other"
        self._metrics.requests.labels(route, method, str(status)).inc()
        self._metrics.seconds.labels(route, method).observe(seconds)
        if status in _REFUSED:
            self._metrics.refused.labels(_REFUSED[status]).inc()
        kept: dict[str, Any] = {
            "request_id": scope["request_id"],
            "method": method,
            "route": route,
            "status": status,
            "milliseconds": round(1000 * seconds, 1),
            "key": scope.get("caller"),
        }
        _logger.info(json.dumps(kept))


def _request_id(headers: Headers) -> str:
    """The caller's own, if it is a plain one; else a new one."""
    given = headers.get("x-request-id", "")
    plain = given.replace("-", "").isalnum() and given.isascii() and len(given) <= _LONGEST_ID
    return given if plain else uuid.uuid4().hex


def _path_of(scope: Scope) -> str:
    """The path, in which a slash that was written as %2F, part of an id, is no border between parts."""
    raw = scope.get("raw_path")
    if not raw or b"%2" not in raw:
        return str(scope["path"])
    parts = raw.partition(b"?")[0].decode("latin-1").split("/")
    return "/".join(unquote(part).replace("/", SLASH) for part in parts)
