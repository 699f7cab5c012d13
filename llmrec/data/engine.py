"""Connections and transactions: which SQLite is used, who may write, and when a write is durable."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import import_module
from types import ModuleType
from typing import Any

from sqlalchemy import URL, Connection, Engine, create_engine, event, exc, make_url
from sqlalchemy.dialects import postgresql, sqlite

from llmrec.data.faults import translated
from llmrec.errors import BusyError, MissingExtraError, StoreError

__all__ = [
    "WRITES",
    "SqliteInfo",
    "insert_or_ignore",
    "make_engine",
    "reading",
    "reporting",
    "sqlite_driver",
    "sqlite_info",
    "writing",
]

# Versions 3.7.0 to 3.51.2 can damage a WAL database that two processes write (https://sqlite.org/wal.html#walreset).
_WAL_IS_SAFE = (3, 51, 3)
_SQLITE = "sqlite:///"
_BUSY_SECONDS = 60.0
_CONNECT_SECONDS = 10
# One lock for all writers of a PostgreSQL database, as SQLite has by nature: sequences then become visible in order.
_WRITER_LOCK = 0x6C6C6D726563
# Execution option of a connection whose transactions write.
WRITES = "llmrec_writes"


def make_engine(url: str) -> Engine:
    """An engine for a SQLite file or a PostgreSQL server; connects only when first used.

    Raises:
        StoreError: The URL cannot be read, or names another kind of database.
        MissingExtraError: The PostgreSQL driver is not installed.
    """
    parsed = _parse(url)
    if parsed.get_backend_name() == "sqlite":
        return _sqlite_engine(parsed)
    return _postgresql_engine(parsed)


@contextmanager
def reading(engine: Engine) -> Iterator[Connection]:
    """A connection in a transaction that sees one state of the database and takes no write lock."""
    with reporting(engine), engine.begin() as connection:
        yield connection


@contextmanager
def writing(engine: Engine) -> Iterator[Connection]:
    """A connection in the one write transaction there is; what it wrote is on disk when the block has ended."""
    with reporting(engine), engine.execution_options(**{WRITES: True}).begin() as connection:
        yield connection


@contextmanager
def reporting(engine: Engine) -> Iterator[None]:
    """Turn what the database or its driver raises into StoreError or BusyError, without any password."""
    try:
        yield
    except exc.TimeoutError as error:
        raise BusyError("all database connections are in use", hint="try again, or send fewer at once") from error
    except exc.DBAPIError as error:
        raise translated(error, engine.url) from error


def insert_or_ignore(connection: Connection, table: Any) -> Any:
    """An INSERT that leaves rows alone whose key is taken; each database spells it in its own way."""
    if connection.dialect.name == "sqlite":
        return sqlite.insert(table).on_conflict_do_nothing()
    return postgresql.insert(table).on_conflict_do_nothing()


@dataclass(frozen=True, slots=True)
class SqliteInfo:
    """Which SQLite is used, and whether it may use a write-ahead log."""

    version: str
    safe_wal: bool
    detail: str


def sqlite_info() -> SqliteInfo:
    """What a report about this installation says of SQLite."""
    module, safe = sqlite_driver()
    named = f"{module.sqlite_version} from {module.__name__.partition('.')[0]}"
    if safe:
        return SqliteInfo(module.sqlite_version, safe, f"{named}, with a write-ahead log")
    detail = f"{named} may damage a write-ahead log, so readers and writers wait for each other; pip install pysqlite3"
    return SqliteInfo(module.sqlite_version, safe, detail)


def sqlite_driver() -> tuple[ModuleType, bool]:
    """The SQLite module to use, and whether its version may use a write-ahead log."""
    for name in ("pysqlite3", "sqlite3"):
        try:
            module = import_module(f"{name}.dbapi2")
        except ModuleNotFoundError:
            continue
        if module.sqlite_version_info >= _WAL_IS_SAFE:
            return module, True
    return import_module("sqlite3.dbapi2"), False


def _parse(url: str) -> URL:
    if url.startswith(_SQLITE):
        # Taken as it is: a directory may be called "100% new?", which a URL's rules would read otherwise.
        return _sqlite_url(url.removeprefix(_SQLITE))
    try:
        parsed = make_url(url)
    except (exc.ArgumentError, ValueError):
        # The cause is left out because its message may repeat the URL, with the password in it.
        raise _bad_url("the database URL cannot be read") from None
    if parsed.drivername in ("postgres", "postgresql"):
        parsed = parsed.set(drivername="postgresql+psycopg")
    if parsed.drivername == "sqlite":
        return _sqlite_url(parsed.database or "")
    if parsed.drivername != "postgresql+psycopg":
        raise _bad_url(f"there is no support for {parsed.drivername} databases")
    return parsed


def _sqlite_url(path: str) -> URL:
    if path in ("", ":memory:"):
        raise _bad_url("a store in memory would be lost, and be another one in each thread")
    return URL.create("sqlite", database=path)


def _bad_url(message: str) -> StoreError:
    return StoreError(message, hint="write sqlite:///path/to/file.db or postgresql://user:password@host/name")


def _sqlite_engine(url: URL) -> Engine:
    module, wal = sqlite_driver()
    engine = create_engine(url, module=module, connect_args={"timeout": _BUSY_SECONDS}, hide_parameters=True)

    @event.listens_for(engine, "connect")
    def prepare(connection: Any, _record: Any) -> None:
        # The module's own transactions start late and never around DDL: leave them all to `begin` below.
        connection.isolation_level = None
        _set_journal(connection, wal, module.OperationalError)
        connection.execute("PRAGMA foreign_keys = ON")

    @event.listens_for(engine, "begin")
    def begin(connection: Connection) -> None:
        writes = connection.get_execution_options().get(WRITES)
        connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")

    return engine


def _set_journal(connection: Any, wal: bool, busy: type[Exception]) -> None:
    connection.execute(f"PRAGMA synchronous = {'FULL' if wal else 'EXTRA'}")
    # Changing the mode, unlike other statements, does not wait for other connections by itself.
    deadline = time.monotonic() + _BUSY_SECONDS
    while True:
        try:
            connection.execute(f"PRAGMA journal_mode = {'WAL' if wal else 'DELETE'}").fetchone()
            return
        except busy as error:
            if "locked" not in str(error) or time.monotonic() > deadline:
                raise
            time.sleep(0.02)


def _postgresql_engine(url: URL) -> Engine:
    try:
        import_module("psycopg")
    except ImportError as error:
        raise MissingExtraError("psycopg", extra="postgres", purpose="a PostgreSQL store") from error
    # A database without a declared encoding would otherwise answer in bytes.
    arguments = {"client_encoding": "utf8", "connect_timeout": _CONNECT_SECONDS, **url.query}
    engine = create_engine(url, connect_args=arguments, pool_pre_ping=True, hide_parameters=True)

    @event.listens_for(engine, "begin")
    def begin(connection: Connection) -> None:
        if connection.get_execution_options().get(WRITES):
            connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({_WRITER_LOCK})")

    return engine
