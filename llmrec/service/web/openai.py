"""What clients and chat front ends of OpenAI's API speak: the conversation behind `/v1/chat/completions`.

Its users send the whole conversation each time and no id of it. What was said before, the answers included, tells which
one it is; a server that was started since begins a new one, in which what was done stays and what was only asked for
must be said again. `metadata={"conversation_id": ...}` is always right.
"""

from __future__ import annotations

import asyncio
import json
import time
import uuid
from collections import OrderedDict
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from functools import partial
from hashlib import sha256
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse, Response, StreamingResponse
from fastapi.sse import format_sse_event
from pydantic import BaseModel, ConfigDict, Field

from llmrec.chat import Chat, Reply
from llmrec.service.web.problems import REFUSALS, RequestRefused, openai_error, problem_of
from llmrec.service.web.served import Served
from llmrec.service.web.talk import BEAT, begun, finished, pieces, place_in

__all__ = ["routes"]

_MODEL = "llmrec"
_REMEMBERED = 10_000
_REFUSALS: dict[int | str, dict[str, Any]] = {
    status: {"description": told["description"], "content": {"application/json": {"schema": {"type": "object"}}}}
    for status, told in REFUSALS.items()
}
"""Errors are in the form that OpenAI's clients read."""


class _Part(BaseModel):
    model_config = ConfigDict(extra="allow")
    type: str
    text: str | None = None


class _Message(BaseModel):
    model_config = ConfigDict(extra="allow")
    role: Literal["system", "developer", "user", "assistant", "tool"]
    content: Annotated[str, Field(max_length=100_000)] | list[_Part] | None = None

    @property
    def words(self) -> str:
        if isinstance(self.content, list):
            return "".join(part.text or "" for part in self.content)
        return self.content or ""


class _Completion(BaseModel):
    """A conversation to go on with; what else OpenAI's clients send is not used."""

    model_config = ConfigDict(extra="allow")
    model: Annotated[str, Field(max_length=256, examples=["llmrec"])]
    messages: Annotated[list[_Message], Field(min_length=1, max_length=2_000)]
    stream: bool | None = False
    user: Annotated[str, Field(max_length=256)] | None = None
    metadata: Annotated[dict[str, str], Field(max_length=16)] | None = None

    @property
    def user_id(self) -> str | None:
        """Whose history counts, where it is said."""
        return self.user or (self.metadata or {}).get("user_id")


@dataclass(frozen=True, slots=True)
class _Known:
    user_id: str
    conversation_id: str


class _Memory:
    """Conversations by what was said in them, the latest ones."""

    def __init__(self) -> None:
        self._known: OrderedDict[str, _Known | None] = OrderedDict()

    def find(self, who: str, said: Sequence[str]) -> _Known | None:
        return self._known.get(_digest(who, said))

    def keep(self, who: str, said: Sequence[str], known: _Known) -> None:
        key = _digest(who, said)
        # Strangers may have said the same and heard the same: then nobody can tell whose it is.
        self._known[key] = known if self._known.get(key, known) == known else None
        while len(self._known) > _REMEMBERED:
            self._known.popitem(last=False)


def routes(served: Served) -> APIRouter:
    """The operations of a served workspace."""
    router = APIRouter(prefix="/v1", tags=["OpenAI"], responses=REFUSALS)
    memory = _Memory()

    @router.get("/models")
    async def models() -> JSONResponse:
        """`llmrec` answers by the live release, `llmrec@VERSION` by another one."""
        versions = await served.stored(lambda: [one.version for one in served.rec.releases.list()])
        names = [_MODEL, *(f"{_MODEL}@{version}" for version in versions)]
        made = [{"id": name, "object": "model", "created": 0, "owned_by": _MODEL} for name in names]
        return JSONResponse({"object": "list", "data": made})

    @router.post("/chat/completions", response_class=Response, responses=_REFUSALS)
    async def completions(body: _Completion, request: Request) -> Response:
        """One turn. `user` is whose history counts; without it somebody new is talked to.

        What is not text (the list, the explanation) is in the field `llmrec` of the answer.
        """
        who = body.user_id or f"guest of {request.scope.get('caller')}"
        said, last = _said(body.messages)
        talk = await _talk(served, body, memory.find(who, said))
        place = await place_in(served)

        async def turn() -> Reply:
            reply = await finished(served, talk, last, place)
            memory.keep(who, [*said, last, reply.text], _Known(talk.user_id, talk.conversation_id))
            return reply

        task = served.kept(turn())
        if body.stream:
            return StreamingResponse(_chunks(body.model, talk, task), media_type="text/event-stream")
        return JSONResponse(_completion(body.model, talk, await task))

    return router


async def _talk(served: Served, body: _Completion, known: _Known | None) -> Chat:
    given = body.metadata or {}
    conversation_id = given.get("conversation_id") or (known.conversation_id if known else uuid.uuid4().hex)
    user_id = body.user_id or (known.user_id if known else f"guest-{uuid.uuid4().hex[:12]}")
    name, _, version = body.model.partition("@")
    if name != _MODEL:
        raise RequestRefused(404, f"there is no model {body.model!r}", hint="GET /v1/models lists them")
    await served.stored(partial(begun, served.rec, user_id, conversation_id))
    rec = await served.work.answer(partial(served.answering, version)) if version else served.rec
    return rec.chat(user_id, conversation_id)


def _said(messages: Sequence[_Message]) -> tuple[list[str], str]:
    """What was said and answered before, and what is said now.

    Raises:
        RequestRefused: The last message is not the user's.
    """
    said = [one.words for one in messages if one.role in ("user", "assistant")]
    if messages[-1].role != "user":
        raise RequestRefused(422, "the last message is not the user's", hint="end messages with role user")
    return said[:-1], said[-1]


def _digest(who: str, said: Sequence[str]) -> str:
    return sha256(json.dumps([who, *said]).encode()).hexdigest()


def _head(kind: str, model: str) -> dict[str, Any]:
    return {"id": f"chatcmpl-{uuid.uuid4().hex}", "object": kind, "created": int(time.time()), "model": model}


def _own(talk: Chat, reply: Reply) -> dict[str, Any]:
    return {"conversation_id": talk.conversation_id, "user_id": talk.user_id, **reply.to_dict()}


def _completion(model: str, talk: Chat, reply: Reply) -> dict[str, Any]:
    message = {"role": "assistant", "content": reply.text}
    choice = {"index": 0, "message": message, "finish_reason": "stop", "logprobs": None}
    return {**_head("chat.completion", model), "choices": [choice], "llmrec": _own(talk, reply)}


async def _chunks(model: str, talk: Chat, turn: asyncio.Task[Reply]) -> AsyncIterator[bytes]:
    head = _head("chat.completion.chunk", model)

    def chunk(delta: dict[str, str], end: str | None = None, **more: Any) -> bytes:
        choice = {"index": 0, "delta": delta, "finish_reason": end}
        return format_sse_event(data_str=json.dumps({**head, "choices": [choice], **more}, ensure_ascii=False))

    yield chunk({"role": "assistant", "content": ""})
    while not (await asyncio.wait({turn}, timeout=BEAT))[0]:
        yield format_sse_event(comment="working")
    if turn.exception() is not None:
        yield format_sse_event(data_str=json.dumps(openai_error(problem_of(turn.exception())[0])))  # type: ignore[arg-type]
        return
    reply = turn.result()
    for piece in pieces(reply.text):
        yield chunk({"content": piece})
    yield chunk({}, "stop", llmrec=_own(talk, reply))
    yield format_sse_event(data_str="[DONE]")
