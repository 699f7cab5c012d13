"""Conversations over HTTP: a turn as a stream of events, or as one answer."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from functools import partial
from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse, Response, StreamingResponse
from fastapi.sse import format_sse_event

from llmrec.chat import Chat, Reply
from llmrec.recommender import Recommender
from llmrec.service.web.bodies import ChatBody, PathId, ThumbBody
from llmrec.service.web.problems import REFUSALS, RequestRefused, problem_of
from llmrec.service.web.served import Served

__all__ = ["BEAT", "begun", "finished", "pieces", "place_in", "routes", "told"]

_WORDS = re.compile(r"\S+\s*|\s+")
BEAT = 1.0
"""Seconds after which a listener hears that it is being worked on."""


def routes(served: Served) -> APIRouter:
    """The operations of a served workspace."""
    router = APIRouter(prefix="/v1/chat", tags=["conversation"], responses=REFUSALS)

    @router.post("", response_class=Response)
    async def chat(body: ChatBody, request: Request) -> Response:
        """Say something; what it asks for is done before the reply comes.

        A stream of server-sent events: `start` with the conversation's id, `working` once a second, `delta` with the
        words, `reply` with all of it; or `error` with a problem. With `"stream": false` the reply as JSON.
        """
        talk = await served.stored(partial(begun, served.rec, body.user_id, body.conversation_id, n=body.n))
        if body.release is not None:
            pinned = await served.work.answer(partial(served.answering, body.release))
            talk = pinned.chat(talk.user_id, talk.conversation_id, n=body.n)
        if not body.stream:
            place = await place_in(served)
            return JSONResponse(told(talk, await served.kept(finished(served, talk, body.message, place))))
        # Who cannot be answered now is told so by the status, before a stream begins.
        turn = served.kept(finished(served, talk, body.message, await place_in(served)))
        stream = _events(talk, turn, request.scope.get("request_id"))
        return StreamingResponse(stream, media_type="text/event-stream", headers={"X-Accel-Buffering": "no"})

    @router.post("/{conversation_id}/turns/{turn}/thumb")
    async def thumb(conversation_id: PathId, turn: int, body: ThumbBody) -> JSONResponse:
        """What the user thinks of a reply; a later retraining learns from it."""
        talk = await served.stored(partial(begun, served.rec, body.user_id, conversation_id))
        await served.stored(partial(talk.thumb, turn, body.up))
        return JSONResponse({"turn": turn, "up": body.up})

    return router


def begun(rec: Recommender, user_id: str, conversation_id: str | None, *, n: int = 5) -> Chat:
    """A conversation of the user's, new or known.

    Raises:
        RequestRefused: It is somebody else's; it is not said that there is one.
    """
    if conversation_id is not None:
        owner = rec.store.turns.owner(conversation_id)
        if owner is not None and owner != user_id:
            raise RequestRefused(
                404,
                f"there is no conversation {conversation_id!r} of this user",
                hint="leave conversation_id out to begin a new one",
            )
    return rec.chat(user_id, conversation_id, n=n)


def told(talk: Chat, reply: Reply) -> dict[str, Any]:
    """A reply as JSON."""
    return {"conversation_id": talk.conversation_id, **reply.to_dict()}


def pieces(text: str) -> list[str]:
    """A text's words, each with the blanks behind it."""
    return _WORDS.findall(text)


async def place_in(served: Served) -> AsyncExitStack:
    """A place in the line, to be given up by who closes it."""
    place = AsyncExitStack()
    await place.enter_async_context(served.work.admitted())
    return place


async def _events(talk: Chat, turn: asyncio.Task[Reply], request_id: str | None) -> AsyncIterator[bytes]:
    """The stream of one turn, which is finished and kept also where nobody listens any more."""
    yield _event("start", {"conversation_id": talk.conversation_id})
    seconds = 0
    while not (await asyncio.wait({turn}, timeout=BEAT))[0]:
        seconds += 1
        yield _event("working", {"seconds": seconds})
    error = turn.exception()
    if error is not None:
        problem, _ = problem_of(error)
        known = problem.model_copy(update={"request_id": request_id})
        yield _event("error", known.model_dump(exclude_none=True))
        return
    reply = turn.result()
    for piece in pieces(reply.text):
        yield _event("delta", {"text": piece})
    yield _event("reply", told(talk, reply))


async def finished(served: Served, talk: Chat, message: str, place: AsyncExitStack) -> Reply:
    """A turn, whose place in the line is given up at its end."""
    async with place, served.turn(talk.user_id, talk.conversation_id):
        return await served.work.run(partial(talk.send, message))


def _event(name: str, data: dict[str, Any]) -> bytes:
    return format_sse_event(event=name, data_str=json.dumps(data, ensure_ascii=False, allow_nan=False))
