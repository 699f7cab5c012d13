"""Who may come in: by key, by host and origin, by how often they ask, and by the size and speed of what they send."""

from __future__ import annotations

import asyncio
import ipaddress
import time
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from starlette.datastructures import Headers
from starlette.types import Message, Receive, Scope

from llmrec.service.web.keys import Keys
from llmrec.service.web.problems import RequestRefused
from llmrec.service.web.work import RateLimit

__all__ = ["Door", "Limits", "host_of", "is_loopback"]

_OPEN = ("/health/", "/page/", "/docs", "/openapi.json", "/v1/session")
"""What needs no key: it is the same for everybody."""
_BODIES = {"POST", "PUT", "PATCH"}


@dataclass(frozen=True, slots=True)
class Limits:
    """What a request may be.

    Args:
        body_bytes: Its body, at most.
        body_seconds: Until its body is there.
        a_minute: Requests of one caller; 0: any number.
        hosts: Names the server goes by; empty: any. A page of somebody else's, whose name was made to lead here, would
            name another one.
    """

    body_bytes: int
    body_seconds: float
    a_minute: int
    hosts: frozenset[str] = frozenset()


class Door:
    """What is asked of every request before it is answered.

    Args:
        keys: The API keys.
        limits: What a request may be.
        demands_key: Whether a key is needed even where none was made yet.
    """

    def __init__(self, keys: Keys, limits: Limits, *, demands_key: bool = False) -> None:
        self._keys = keys
        self._limits = limits
        self._demands_key = demands_key
        self._rate = RateLimit(limits.a_minute)

    def needs_key(self) -> bool:
        """Whether a request must have a key."""
        return self._demands_key or self._keys.demanded()

    def caller(self, scope: Scope) -> str | None:
        """Whose key the request has; None: nobody's."""
        kind, _, key = Headers(scope=scope).get("authorization", "").partition(" ")
        return self._keys.owner(key.strip()) if kind.casefold() == "bearer" and key else None

    def admit(self, scope: Scope) -> None:
        """Let a request in; whose key it has is then in its scope.

        Raises:
            RequestRefused: It has no key, comes too often, from another site or is too large.
        """
        headers, path = Headers(scope=scope), scope["path"]
        self._check_host(headers)
        owner = self.caller(scope)
        is_open = path == "/" or path.startswith(_OPEN)
        if not is_open and owner is None and self.needs_key():
            self._limit(f"stranger {_address(scope)}")
            raise RequestRefused(
                401,
                "no valid API key was sent",
                hint="send the header `Authorization: Bearer KEY`; `llmrec keys add NAME` makes one",
            )
        scope["caller"] = owner
        if not path.startswith("/health/"):
            self._limit(f"key {owner}" if owner else f"address {_address(scope)}")
        self._check_body(scope["method"], headers)

    def _limit(self, caller: str) -> None:
        wait = self._rate.wait(caller)
        if wait:
            raise RequestRefused(
                429,
                f"more than {self._limits.a_minute} requests a minute",
                hint="ask again after the seconds that Retry-After says",
                retry_after=wait,
            )

    def _check_host(self, headers: Headers) -> None:
        known = self._limits.hosts
        host = headers.get("host", "").casefold()
        name = host_of(host)
        if known and name not in known:
            raise RequestRefused(
                421, "this server goes by another name", hint="name it with `llmrec serve --host-name`"
            )
        origin = headers.get("origin")
        if origin is not None and origin.partition("://")[2].casefold() != host:
            raise RequestRefused(403, "another site's page asks", hint="call it from a server, or from its own page")

    def _check_body(self, method: str, headers: Headers) -> None:
        if method not in _BODIES:
            return
        length = headers.get("content-length", "")
        if length.isdigit() and int(length) > self._limits.body_bytes:
            raise self._too_large()
        kind = headers.get("content-type", "").partition(";")[0].strip().casefold()
        has_body = length not in ("", "0") or "transfer-encoding" in headers
        # A form of another site's page could send any other kind without being asked first.
        if has_body and kind != "application/json":
            raise RequestRefused(415, "the body is not JSON", hint="send the header `Content-Type: application/json`")

    def _too_large(self) -> RequestRefused:
        most = self._limits.body_bytes
        return RequestRefused(413, f"the body is larger than {most} bytes", hint="send less at once")

    def bounded(self, scope: Scope, receive: Receive) -> Receive:
        """The body, as long as it is neither too long nor too slow.

        Raises:
            RequestRefused: It is, when it is read.
        """
        deadline = time.monotonic() + self._limits.body_seconds
        got, whole = 0, scope["method"] not in _BODIES

        async def bounded() -> Message:
            nonlocal got, whole
            if whole:
                return await receive()
            try:
                async with asyncio.timeout_at(asyncio.get_running_loop().time() + deadline - time.monotonic()):
                    message = await receive()
            except TimeoutError:
                hint = f"send it within {self._limits.body_seconds:g} seconds"
                raise RequestRefused(408, "the body did not come", hint=hint) from None
            got += len(message.get("body", b""))
            whole = not message.get("more_body", False)
            if got > self._limits.body_bytes:
                raise self._too_large()
            return message

        return bounded


def is_loopback(host: str) -> bool:
    """Whether an address is reached from this machine alone."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


def host_of(given: str) -> str:
    """A host's name without its port."""
    name = given.rsplit("]", 1)[0] + "]" if given.startswith("[") else given.partition(":")[0]
    return name.casefold()


def _address(scope: Scope) -> str:
    client: Iterable[Any] | None = scope.get("client")
    return str(next(iter(client))) if client else "unknown"
