"""The HTTP service of a workspace: one app, put together from the parts in `llmrec.service.web`.

guard (id, door, metrics, log) ──> routes ──> line of requests that need the models ──> recommender
                                      └─────> store (feedback, users, conversations), which waits for no model
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from fastapi import FastAPI, Security
from fastapi.responses import FileResponse
from fastapi.routing import APIRoute
from fastapi.security import HTTPBearer
from fastapi.staticfiles import StaticFiles

from llmrec import __version__
from llmrec.config import ServiceSettings
from llmrec.recommender import Recommender
from llmrec.service.web import answers, openai, people, running, talk
from llmrec.service.web.door import Door, Limits
from llmrec.service.web.guard import Guard
from llmrec.service.web.keys import Keys
from llmrec.service.web.metrics import Metrics
from llmrec.service.web.problems import add_handlers
from llmrec.service.web.served import Served
from llmrec.service.web.work import Work

__all__ = ["create_app"]

_PAGE = Path(__file__).with_name("page")
_KEY = "An API key, where the server demands one: `llmrec keys add NAME`."
_ABOUT = "Recommendations by an open language model over your catalogue, with reasons, feedback and conversations."


def create_app(
    rec: Recommender,
    *,
    settings: ServiceSettings | None = None,
    hosts: frozenset[str] = frozenset(),
    demands_key: bool = False,
) -> FastAPI:
    """The app that serves a workspace; it does not close the recommender.

    Args:
        rec: The recommender.
        settings: How it is served; None: as the workspace says.
        hosts: Names the server goes by; empty: any.
        demands_key: Whether a key is needed even where none was made yet.
    """
    wanted = settings or rec.settings.service
    metrics = Metrics()
    served = Served(rec, Work(wanted.at_once, wanted.queue), metrics)
    limits = Limits(wanted.body_bytes, wanted.body_seconds, wanted.requests_a_minute, hosts)
    door = Door(Keys(rec.workspace.keys_file), limits, demands_key=demands_key)

    @asynccontextmanager
    async def living(_: FastAPI) -> AsyncIterator[None]:
        yield
        await served.finished()

    app = FastAPI(
        title="llmrec",
        version=__version__,
        description=_ABOUT,
        lifespan=living,
        generate_unique_id_function=_name_of,
        docs_url=None,
        redoc_url=None,
    )
    app.add_middleware(Guard, door=door, metrics=metrics)
    add_handlers(app)
    for router in (
        answers.routes(served),
        talk.routes(served),
        people.routes(served),
        running.routes(served, door),
        openai.routes(served),
        running.health_routes(served),
    ):
        app.include_router(router, dependencies=[Security(HTTPBearer(auto_error=False, description=_KEY))])
    _add_pages(app)
    return app


def _add_pages(app: FastAPI) -> None:
    """What browsers show: the page and the API's documentation, with all their files."""
    app.mount("/docs/files", StaticFiles(packages=[("fastapi_offline", "static")]), name="docs-files")
    app.mount("/page", StaticFiles(directory=_PAGE), name="page")

    @app.api_route("/", methods=["GET", "HEAD"], include_in_schema=False)
    async def page() -> FileResponse:
        return FileResponse(_PAGE / "index.html")

    @app.api_route("/docs", methods=["GET", "HEAD"], include_in_schema=False)
    async def docs() -> FileResponse:
        return FileResponse(_PAGE / "docs.html")


def _name_of(route: APIRoute) -> str:
    """What an operation is called in generated clients."""
    return route.name
