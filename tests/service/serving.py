"""A workspace of stand-ins behind a real server in a thread of this process."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import httpx2
import uvicorn

from llmrec import Recommender
from llmrec.service.http import create_app
from llmrec.service.web.connections import PatientConnection


@contextmanager
def served(rec: Recommender, **options: Any) -> Iterator[str]:
    """Serve until the block ends; gives the address."""
    listening = socket.socket()
    listening.bind(("127.0.0.1", 0))
    app = create_app(rec, **options)
    config = uvicorn.Config(app, http=PatientConnection, log_config=None, timeout_graceful_shutdown=10)
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
    thread.start()
    try:
        address = f"http://127.0.0.1:{listening.getsockname()[1]}"
        while not server.started:
            assert thread.is_alive()
        yield address
    finally:
        server.should_exit = True
        thread.join()
        listening.close()


@contextmanager
def client(rec: Recommender, **options: Any) -> Iterator[httpx2.Client]:
    """A client of a server of one's own."""
    with served(rec, **options) as address, httpx2.Client(base_url=address, timeout=30, trust_env=False) as made:
        yield made
