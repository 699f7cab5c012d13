"""Stores to put a small world in: SQLite always, PostgreSQL where a server can be started."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from sqlalchemy import create_engine, text

from llmrec.data import Store, import_records
from tests.data.postgres import Server, server_programs
from tests.data.worlds import COURSES, LEARNERS


@pytest.fixture(scope="session")
def postgres_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server of our own, stopped at the end."""
    programs = server_programs()
    if programs is None:
        pytest.skip("PostgreSQL's initdb and pg_ctl are not installed")
    with Server.running(programs, tmp_path_factory.mktemp("postgres")) as server:
        yield server


@pytest.fixture
def postgres_url(postgres_server: Server, request: pytest.FixtureRequest) -> str:
    """A URL of an empty schema of its own."""
    schema = f"t{abs(hash(request.node.nodeid))}"
    engine = create_engine(postgres_server.url)
    with engine.begin() as connection:
        connection.execute(text(f"CREATE SCHEMA {schema}"))
    engine.dispose()
    return f"{postgres_server.url}&options=-csearch_path%3D{schema}"


@pytest.fixture
def sqlite_url(tmp_path: Path) -> str:
    """A URL of a file that does not exist yet."""
    return f"sqlite:///{tmp_path / 'store.db'}"


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest) -> str:
    """A URL of an empty database of each kind: what uses it holds for both."""
    name = "sqlite_url" if request.param == "sqlite" else "postgres_url"
    return str(request.getfixturevalue(name))


@pytest.fixture
def store(url: str) -> Iterator[Store]:
    """An empty store of each kind."""
    with Store.open(url) as opened:
        yield opened


@pytest.fixture
def sqlite_store(sqlite_url: str) -> Iterator[Store]:
    """An empty SQLite store, for what does not depend on the database."""
    with Store.open(sqlite_url) as opened:
        yield opened


@pytest.fixture
def sqlite_courses(sqlite_store: Store) -> Store:
    """The courses and learners on SQLite alone."""
    import_records(sqlite_store, users=LEARNERS, items=COURSES)
    return sqlite_store


@pytest.fixture
def courses(store: Store) -> Store:
    """A store with the three courses and the two learners."""
    import_records(store, users=LEARNERS, items=COURSES)
    return store


@pytest.fixture
def write(tmp_path: Path) -> Callable[[str, str | bytes], Path]:
    """Writes a file and returns its path."""

    def write_file(name: str, content: str | bytes) -> Path:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return path

    return write_file
