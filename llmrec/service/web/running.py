"""What runs: health, metrics, releases, and how the learning goes."""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from anyio import to_thread
from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse, Response

from llmrec import __version__
from llmrec.errors import LlmrecError
from llmrec.releases import Release
from llmrec.service.web.door import Door
from llmrec.service.web.problems import REFUSALS, Problem, response_of
from llmrec.service.web.served import Served

__all__ = ["health_routes", "routes"]


def routes(served: Served, door: Door) -> APIRouter:
    """What an operator, or the page, wants to know."""
    router = APIRouter(prefix="/v1", tags=["operation"], responses=REFUSALS)

    @router.get("/session")
    async def session(request: Request) -> JSONResponse:
        """Whether a key is needed, and whether the one sent along is right. Needs none."""
        given = door.caller(request.scope)
        required = door.needs_key()
        told = {"key_required": required, "key_accepted": not required or given is not None, "version": __version__}
        return JSONResponse(told)

    @router.get("/releases")
    async def releases() -> JSONResponse:
        """Every release, oldest first."""
        return JSONResponse({"releases": await served.stored(lambda: _releases(served))})

    @router.get("/learning")
    async def learning() -> JSONResponse:
        """What waits to be learnt from, and what came of the last retraining."""
        return JSONResponse(await served.stored(lambda: _learning(served)))

    return router


def health_routes(served: Served) -> APIRouter:
    """Liveness, readiness and metrics."""
    router = APIRouter(tags=["operation"])

    @router.get("/health/live")
    @router.head("/health/live", include_in_schema=False)
    async def live() -> JSONResponse:
        """The process answers."""
        return JSONResponse({"status": "ok"})

    @router.get("/health/ready")
    async def ready(request: Request) -> Response:
        """It can recommend: the database is there, and a release and its models are loaded."""
        try:
            release = await to_thread.run_sync(served.rec.ready)
        except LlmrecError as error:
            problem = Problem(title="Not ready", status=503, detail=str(error), hint=error.hint)
            return response_of(problem, 5, request_id=request.scope.get("request_id"))
        return JSONResponse({"status": "ok", "release": release})

    @router.get("/metrics", response_class=Response)
    async def metrics() -> Response:
        """Counters and gauges for Prometheus."""
        served.metrics.present.set(served.work.present)
        served.metrics.live.clear()
        with suppress(LlmrecError):
            served.metrics.live.labels(await to_thread.run_sync(served.rec.version)).set(1)
        return Response(served.metrics.text(), media_type=served.metrics.content_type)

    return router


def _releases(served: Served) -> list[dict[str, Any]]:
    rec = served.rec
    live, forgotten = _live(served), rec.store.last_forgotten()
    return [release.to_dict(live, forgotten) for release in rec.releases.list()]


def _learning(served: Served) -> dict[str, Any]:
    rec = served.rec
    releases, live = rec.releases.list(), _live(served)
    champion = next((one for one in releases if one.version == live), None)
    reports = {one.version: _report(served, one) for one in releases}
    judged = [one for one in releases if reports[one.version] is not None]
    rival = next((one for one in reversed(judged) if one.version != live), None)
    last, doing = rec.store.last_sequence(), rec.workspace.running()
    return {
        "live": live,
        "events": rec.store.counts()["events"],
        "waiting": max(0, last - champion.learnt_until) if champion else last,
        "last_retrain": _when(served, judged[-1]) if judged else None,
        "running": doing is not None,
        "doing": doing,
        "champion": {**_summary(champion), "curve": _curve(champion)} if champion else None,
        "challenger": _challenger(rival, reports[rival.version] or {}) if rival else None,
    }


def _live(served: Served) -> str | None:
    """What answers; another one may be meant that cannot be loaded."""
    with suppress(LlmrecError):
        return served.rec.version()
    return None


def _challenger(release: Release, report: Mapping[str, Any]) -> dict[str, Any]:
    compared = report.get("comparison") or {}
    difference = {"value": compared.get("difference"), "low": compared.get("low"), "high": compared.get("high")}
    return {
        **_summary(release),
        "curve": _curve(release),
        "state": "promoted" if report.get("passed") else "refused",
        "reason": report.get("reason", ""),
        "difference": difference if compared else None,
    }


def _summary(release: Release) -> dict[str, Any]:
    return {"version": release.version, "created": release.manifest.get("created")}


def _curve(release: Release) -> list[dict[str, float]]:
    """What the adapter gained on held-out lists each time it was looked at, by how many lists it had learnt from."""
    adapter = release.manifest.get("metrics", {}).get("adapter") or {}
    gains, lists = adapter.get("gains", []), adapter.get("lists", 0)
    # Older releases did not note when they looked: at even distances, and not before the first list.
    at = adapter.get("at") or [round(lists * place / len(gains)) for place in range(1, len(gains) + 1)]
    return [{"lists": learnt, "gain": gain} for learnt, gain in zip(at, gains, strict=True)]


def _report(served: Served, release: Release) -> dict[str, Any] | None:
    with suppress(OSError, ValueError):
        found = json.loads(_report_file(served, release).read_text(encoding="utf-8"))
        return found if isinstance(found, dict) else None
    return None


def _when(served: Served, release: Release) -> str:
    return datetime.fromtimestamp(_report_file(served, release).stat().st_mtime, UTC).isoformat()


def _report_file(served: Served, release: Release) -> Path:
    return served.rec.workspace.reports / f"{release.version.replace('/', '-')}.json"
