"""Lists, orders, reasons and feedback."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse

from llmrec.recommender import Recommender
from llmrec.records import Event
from llmrec.service.web.bodies import EventBody, EventsBody, ExplainBody, RankBody, RecommendBody
from llmrec.service.web.problems import REFUSALS
from llmrec.service.web.served import Served

__all__ = ["routes"]

_KNOWN_KINDS = frozenset(
    {"impression", "view", "click", "like", "dislike", "hide", "unhide", "rating", "purchase", "search", "comment"}
)


def routes(served: Served) -> APIRouter:
    """The operations of a served workspace."""
    router = APIRouter(prefix="/v1", tags=["answers"], responses=REFUSALS)

    @router.post("/recommend")
    async def recommend(body: RecommendBody, request: Request) -> JSONResponse:
        """The best items for a user, best first; `score` is in log-odds and is the sum of `parts`."""
        asked = body.model_dump(exclude={"release"})
        rec = await _answering(served, body.release)
        answer = await served.work.answer(partial(rec.recommend, **asked), request.is_disconnected)
        if answer.fallback:
            served.metrics.fallbacks.inc()
        return JSONResponse(answer.to_dict(), headers={"X-Release": str(answer.release)})

    @router.post("/rank")
    async def rank(body: RankBody, request: Request) -> JSONResponse:
        """The given items, best first."""
        asked = body.model_dump(exclude={"release"})
        rec = await _answering(served, body.release)
        ranked = await served.work.answer(partial(rec.rank, **asked), request.is_disconnected)
        if ranked.fallback:
            served.metrics.fallbacks.inc()
        return JSONResponse(ranked.to_dict())

    @router.post("/explain")
    async def explain(body: ExplainBody, request: Request) -> JSONResponse:
        """Why an item gets its score: the events whose removal lowers it most, and its parts."""
        rec = await _answering(served, body.release)
        why = partial(rec.explain, **body.model_dump(exclude={"release"}))
        return JSONResponse((await served.work.answer(why, request.is_disconnected)).to_dict())

    @router.post("/feedback")
    async def feedback(body: EventBody | EventsBody) -> JSONResponse:
        """Keep what users did or said; it acts on the next request, and is on disk when this answers.

        Idempotent by `event_id`. It waits for no model, however many requests do.
        """
        given = body.events if isinstance(body, EventsBody) else [body]
        kept = await served.taken_in(lambda: served.rec.feedback_many([one.event() for one in given]))
        _count(served, kept)
        told = [{"event_id": event.event_id, "sequence": event.sequence} for event in kept]
        return JSONResponse({"events": told} if isinstance(body, EventsBody) else told[0])

    return router


async def _answering(served: Served, release: str | None) -> Recommender:
    """The recommender that is meant; one that is not loaded yet is loaded in a thread of its own."""
    return served.rec if release is None else await served.work.answer(partial(served.answering, release))


def _count(served: Served, events: Sequence[Event]) -> None:
    for event in events:
        # A client's own words for kinds would make any number of series.
        served.metrics.events.labels(event.kind if event.kind in _KNOWN_KINDS else "other").inc()
