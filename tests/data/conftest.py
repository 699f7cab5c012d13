"""Stores to put a small world in: SQLite always, PostgreSQL where a server can be started."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from sqlalchemy import create_engine, text

from llmrec.data import Store, import_records
from llmrec.data.schema import metadata
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


@pytest.fixture(scope="session")
def postgres_store(postgres_server: Server) -> Iterator[Store]:
    """One store on the server, emptied before each test: making its tables anew takes longer than most tests."""
    with Store.open(_in_schema(postgres_server, "shared")) as opened:
        yield opened


@pytest.fixture(scope="session")
def sqlite_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An empty store's file, to be copied."""
    path = tmp_path_factory.mktemp("sqlite") / "store.db"
    Store.open(f"sqlite:///{path}").close()
    return path


@pytest.fixture
def postgres_url(postgres_server: Server, postgres_store: Store) -> str:
    """A URL of an empty store."""
    with postgres_store.engine.begin() as connection:
        names = ", ".join(metadata.tables)
        connection.execute(text(f"TRUNCATE {names} RESTART IDENTITY"))
    return _in_schema(postgres_server, "shared")


@pytest.fixture
def sqlite_url(sqlite_template: Path, tmp_path: Path) -> str:
    """A URL of an empty store."""
    return f"sqlite:///{shutil.copy(sqlite_template, tmp_path / 'store.db')}"


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest) -> str:
    """A URL of an empty store of each kind: what uses it holds for both."""
    name = "sqlite_url" if request.param == "sqlite" else "postgres_url"
    return str(request.getfixturevalue(name))


@pytest.fixture(params=["sqlite", "postgresql"])
def new_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A URL of a database of each kind that has no tables yet."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'new.db'}"
    return _in_schema(request.getfixturevalue("postgres_server"), f"new{abs(hash(request.node.nodeid))}")


def _in_schema(server: Server, schema: str) -> str:
    engine = create_engine(server.url)
    with engine.begin() as connection:
        connection.execute(text(f"CREATE SCHEMA IF NOT EXISTS {schema}"))
    engine.dispose()
    return f"{server.url}&options=-csearch_path%3D{schema}"


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
