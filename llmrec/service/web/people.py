"""Users, what is known of them and how they correct it, their conversations, and the items."""

from __future__ import annotations

from functools import partial
from itertools import groupby
from typing import Annotated, Any

from fastapi import APIRouter, Query
from fastapi.responses import JSONResponse

from llmrec.data.turns import Turn
from llmrec.records import Event, Item
from llmrec.service.web.bodies import PathId
from llmrec.service.web.problems import REFUSALS, RequestRefused
from llmrec.service.web.served import Served
from llmrec.service.web.talk import begun

__all__ = ["routes"]

_HISTORY = 30
_SAID = 80
Words = Annotated[str, Query(max_length=200)]
Limit = Annotated[int, Query(ge=1, le=100)]


def routes(served: Served) -> APIRouter:
    """The operations of a served workspace."""
    router = APIRouter(prefix="/v1", responses=REFUSALS)
    _add_people(router, served)
    _add_conversations(router, served)
    _add_items(router, served)
    return router


def _add_people(router: APIRouter, served: Served) -> None:
    rec = served.rec

    @router.get("/users", tags=["users"])
    async def users(query: Words = "", limit: Limit = 20) -> JSONResponse:
        """Users whose ids begin so."""
        found, total = await served.stored(partial(rec.store.lookup.users, query, limit))
        told = [{"user_id": one.user_id, "attributes": dict(one.about)} for one in found]
        return JSONResponse({"users": told, "total": total})

    @router.get("/users/{user_id}", tags=["users"])
    async def user(user_id: PathId) -> JSONResponse:
        """What is stored of a user, newest events first; of somebody unknown nothing is."""
        return JSONResponse(await served.stored(partial(_user, served, user_id)))

    @router.get("/users/{user_id}/profile", tags=["users"])
    async def profile(user_id: PathId, conversation_id: str | None = None) -> JSONResponse:
        """What is known of a user in words, each line with the events that it rests on."""
        talk = await served.stored(partial(begun, rec, user_id, conversation_id))
        lines = await served.work.answer(talk.profile)
        return JSONResponse({"lines": [line.to_dict() for line in lines]})

    @router.delete("/users/{user_id}/events/{event_id}", tags=["users"])
    async def take_back(user_id: PathId, event_id: PathId) -> JSONResponse:
        """Take an event back, as the user wishes; it acts on the next request."""
        gone = await served.stored(partial(rec.take_back, user_id, [event_id]))
        if not gone:
            hint = "GET /v1/users/{user_id} lists the newest ones"
            raise RequestRefused(404, f"the user has no event {event_id!r}", hint=hint)
        return JSONResponse({"deleted": gone})

    @router.delete("/users/{user_id}/constraints", tags=["users"])
    async def lift(
        user_id: PathId, conversation_id: Annotated[str, Query(max_length=256)], text: Words
    ) -> JSONResponse:
        """Let go of something the user asked for in a conversation, named by its words."""
        talk = await served.stored(partial(begun, rec, user_id, conversation_id))
        async with served.turn(talk.user_id, talk.conversation_id):
            left = await served.work.answer(partial(talk.lift, text))
        return JSONResponse({"constraints": list(left)})


def _add_conversations(router: APIRouter, served: Served) -> None:
    turns = served.rec.store.turns

    @router.get("/users/{user_id}/conversations", tags=["conversation"])
    async def conversations(user_id: PathId) -> JSONResponse:
        """A user's conversations, the newest first."""
        return JSONResponse({"conversations": _conversations(await served.stored(partial(turns.of, user_id)))})

    @router.get("/users/{user_id}/conversations/{conversation_id}", tags=["conversation"])
    async def conversation(user_id: PathId, conversation_id: PathId) -> JSONResponse:
        """What was said, and what holds since."""
        talk = await served.stored(partial(begun, served.rec, user_id, conversation_id))
        said = await served.stored(partial(turns.of, user_id, conversation_id))
        if not said:
            hint = "GET /v1/users/{user_id}/conversations lists them"
            raise RequestRefused(404, f"there is no conversation {conversation_id!r} of this user", hint=hint)
        constraints = await served.stored(lambda: talk.constraints)
        told = {"conversation_id": conversation_id, "turns": [_turn(one) for one in said]}
        return JSONResponse({**told, "constraints": list(constraints)})

    @router.delete("/users/{user_id}/conversations", tags=["conversation"])
    async def delete_all(user_id: PathId) -> JSONResponse:
        """Delete what was said in all of a user's conversations; what was done because of it stays."""
        return JSONResponse({"deleted": await served.stored(partial(turns.delete, user_id))})

    @router.delete("/users/{user_id}/conversations/{conversation_id}", tags=["conversation"])
    async def delete(user_id: PathId, conversation_id: PathId) -> JSONResponse:
        """Delete what was said in one of a user's conversations."""
        return JSONResponse({"deleted": await served.stored(partial(turns.delete, user_id, conversation_id))})


def _add_items(router: APIRouter, served: Served) -> None:
    rec = served.rec

    @router.get("/items", tags=["items"])
    async def items(query: Words = "", limit: Limit = 10) -> JSONResponse:
        """Items whose titles hold the words; where these are few, those that mean nearly the same too."""
        found, total = await served.work.answer(partial(rec.find_items, query, limit))
        return JSONResponse({"items": [_item(one) for one in found], "total": total})

    @router.get("/items/{item_id}", tags=["items"])
    async def item(item_id: PathId) -> JSONResponse:
        """One item."""
        return JSONResponse(_item(await served.stored(partial(rec.store.item, item_id))))


def _user(served: Served, user_id: PathId) -> dict[str, Any]:
    store = served.rec.store
    known = store.user(user_id)
    events = store.events(user_id, limit=_HISTORY)
    items = store.items_by_id([event.item_id for event in events if event.item_id])
    return {
        "user_id": user_id,
        "attributes": dict(known.about) if known else {},
        "known": store.event_count(user_id, behaviour=True),
        "history": [_event(event, items) for event in reversed(events)],
    }


def _event(event: Event, items: dict[str, Item]) -> dict[str, Any]:
    return {
        "event_id": event.event_id,
        "item_id": event.item_id,
        "title": items[event.item_id].title if event.item_id else None,
        "kind": event.kind,
        "value": event.value,
        "text": event.text,
        "time": event.timestamp.isoformat() if event.timestamp else None,
    }


def _item(item: Item) -> dict[str, Any]:
    attributes = {name: list(value) if isinstance(value, tuple) else value for name, value in item.attributes.items()}
    return {"item_id": item.item_id, "title": item.title, "description": item.description, "attributes": attributes}


def _conversations(turns: list[Turn]) -> list[dict[str, Any]]:
    by_conversation = sorted(turns, key=lambda turn: turn.conversation_id)  # the order of turns stays
    grouped = [(one, list(some)) for one, some in groupby(by_conversation, lambda turn: turn.conversation_id)]
    newest_first = sorted(grouped, key=lambda one: one[1][-1].time, reverse=True)
    return [
        {
            "conversation_id": conversation_id,
            "time": said[-1].time.isoformat(),
            "turns": len(said),
            "said": said[0].said[:_SAID],
        }
        for conversation_id, said in newest_first
    ]


def _turn(turn: Turn) -> dict[str, Any]:
    return {
        "turn": turn.number,
        "up": turn.thumb,
        "time": turn.time.isoformat(),
        "said": turn.said,
        "answered": turn.answered,
        "actions": list(turn.actions),
    }
