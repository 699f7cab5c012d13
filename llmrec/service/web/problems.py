"""Every refusal as a problem (RFC 9457): what is wrong, with which value, and what to do next."""

from __future__ import annotations

import logging
import math
from collections.abc import Mapping, Sequence
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, Response
from pydantic import BaseModel
from starlette.exceptions import HTTPException

from llmrec.errors import (
    BusyError,
    ConfigError,
    ConflictError,
    DataError,
    EmptyCatalogueError,
    LlmrecError,
    NotFittedError,
    OverloadedError,
    UnknownItemError,
)

__all__ = ["REFUSALS", "Problem", "RequestRefused", "add_handlers", "answer_of", "problem_of", "response_of"]

_STATUS: tuple[tuple[type[LlmrecError], int], ...] = (
    (UnknownItemError, 404),
    (ConflictError, 409),
    (EmptyCatalogueError, 503),
    (NotFittedError, 503),
    (OverloadedError, 503),
    (BusyError, 503),
    (DataError, 422),
    (ConfigError, 422),
)
"""What is not here is the server's own trouble: a database, a model, a damaged release."""
_TITLES = {
    400: "The request cannot be read",
    401: "A key is needed",
    403: "Not allowed",
    404: "There is no such thing",
    405: "This cannot be done here",
    408: "The request came too slowly",
    409: "In conflict with what is there",
    413: "The request is too large",
    415: "The body is not JSON",
    421: "Another host was meant",
    422: "The request is not understood",
    429: "Too many requests",
    500: "A fault of the server",
    503: "Not now",
}
_HINTS = {
    404: "GET /docs lists what there is",
    405: "GET /docs lists what can be done where",
    500: "please report it, with the request id",
}
_BUSY_SECONDS = 5.0
_MOST_ERRORS = 20
_logger = logging.getLogger(__name__)


class RequestRefused(LlmrecError):  # noqa: N818 - as ImportRefused
    """A request that no part of llmrec was asked about.

    Args:
        status: Of HTTP.
        message: What is wrong.
        hint: What to do next.
        retry_after: Seconds after which the same may be accepted.
    """

    def __init__(self, status: int, message: str, *, hint: str, retry_after: float | None = None) -> None:
        super().__init__(message, hint=hint)
        self.status = status
        self.retry_after = retry_after


class Problem(BaseModel):
    """A refusal."""

    type: str = "about:blank"
    title: str
    status: int
    detail: str
    hint: str
    request_id: str | None = None
    errors: list[dict[str, str]] | None = None


REFUSALS: dict[int | str, dict[str, Any]] = {
    status: {
        "description": _TITLES[status],
        "content": {"application/problem+json": {"schema": Problem.model_json_schema()}},
    }
    for status in (400, 401, 404, 409, 413, 415, 422, 429, 503)
}
"""What an operation may answer but what is asked for, for the OpenAPI document."""


def problem_of(error: BaseException) -> tuple[Problem, float | None]:
    """An error as a problem, and the seconds after which the same may succeed; of a bug nothing is told."""
    if not isinstance(error, LlmrecError):
        detail = "something went wrong that should not have"
        return Problem(title=_TITLES[500], status=500, detail=detail, hint=_HINTS[500]), None
    status = error.status if isinstance(error, RequestRefused) else _status_of(error)
    if status is None:
        # Its words may tell of paths and addresses; they are for who runs the server.
        _logger.error("a request could not be answered: %s (%s)", error, error.hint)
        hint = "ask again later; whoever runs the server finds the reason in its log"
        told = Problem(title=_TITLES[503], status=503, detail="the server has trouble of its own", hint=hint)
        return told, _BUSY_SECONDS
    if isinstance(error, RequestRefused | OverloadedError):
        wait = error.retry_after
    else:
        wait = _BUSY_SECONDS if error.retryable else None
    return Problem(title=_TITLES.get(status, "Refused"), status=status, detail=str(error), hint=error.hint), wait


def _status_of(error: LlmrecError) -> int | None:
    return next((status for kind, status in _STATUS if isinstance(error, kind)), None)


def openai_error(problem: Problem) -> dict[str, Any]:
    """A problem in the form that OpenAI's clients read."""
    told = f"{problem.detail}. Next step: {problem.hint}"
    return {"error": {"message": told, "type": problem.title, "code": None, "param": None}}


def response_of(problem: Problem, wait: float | None = None, *, request_id: str | None, plain: bool = True) -> Response:
    """A problem as an answer.

    Args:
        problem: What is wrong.
        wait: For Retry-After, in seconds.
        request_id: Of the request.
        plain: As problem+json; False: in the form that OpenAI's clients read.
    """
    headers = {} if wait is None else {"Retry-After": str(max(1, math.ceil(wait)))}
    if problem.status == 401:
        headers["WWW-Authenticate"] = "Bearer"
    body: dict[str, Any] = problem.model_copy(update={"request_id": request_id}).model_dump(exclude_none=True)
    if not plain:
        body = openai_error(problem)
    kind = "application/problem+json" if plain else "application/json"
    return JSONResponse(body, problem.status, headers, media_type=kind)


def answer_of(error: Exception, path: str, request_id: str | None) -> Response:
    """Any error as an answer."""
    problem, wait = problem_of(error)
    return response_of(problem, wait, request_id=request_id, plain=not path.startswith("/v1/chat/completions"))


def add_handlers(app: FastAPI) -> None:
    """Let the app answer every error with a problem."""

    @app.exception_handler(LlmrecError)
    async def refused(request: Request, error: LlmrecError) -> Response:
        return answer_of(error, request.url.path, _id_of(request))

    @app.exception_handler(RequestValidationError)
    async def malformed(request: Request, error: RequestValidationError) -> Response:
        places = [_place(one) for one in error.errors()[:_MOST_ERRORS]]
        first = places[0] if places else {"place": "the request", "message": "it cannot be read"}
        problem = Problem(
            title=_TITLES[422],
            status=422,
            detail=f"{first['place']}: {first['message']}",
            hint="correct it; GET /docs shows what is expected",
            errors=places,
        )
        plain = not request.url.path.startswith("/v1/chat/completions")
        return response_of(problem, request_id=_id_of(request), plain=plain)

    @app.exception_handler(HTTPException)
    async def not_there(request: Request, error: HTTPException) -> Response:
        if isinstance(error.__cause__, LlmrecError):  # what refused the body while it was read
            return answer_of(error.__cause__, request.url.path, _id_of(request))
        hint = _HINTS.get(error.status_code, "correct the request; GET /docs shows what is expected")
        title = _TITLES.get(error.status_code, "Refused")
        problem = Problem(title=title, status=error.status_code, detail=str(error.detail), hint=hint)
        plain = not request.url.path.startswith("/v1/chat/completions")
        answer = response_of(problem, request_id=_id_of(request), plain=plain)
        answer.headers.update(error.headers or {})
        return answer


def _place(error: Mapping[str, Any]) -> dict[str, str]:
    """Where a malformed body is wrong, and why; never with the value, which may be somebody's words."""
    where: Sequence[object] = error.get("loc", ())
    return {"place": ".".join(map(str, where)) or "body", "message": str(error.get("msg", "")).lower()}


def _id_of(request: Request) -> str | None:
    found = request.scope.get("request_id")
    return None if found is None else str(found)
