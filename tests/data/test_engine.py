from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest
from sqlalchemy import event, text

from llmrec.data import Store, engine, import_records, sqlite_info
from llmrec.errors import BusyError, MissingExtraError, StoreError
from llmrec.records import Event, Item
from tests.data.worlds import COURSES, click


def pretend(monkeypatch: pytest.MonkeyPatch, **versions: tuple[int, int, int]) -> None:
    def import_module(name: str) -> SimpleNamespace:
        package = name.partition(".")[0]
        if package not in versions:
            raise ModuleNotFoundError(name)
        version = versions[package]
        return SimpleNamespace(__name__=name, sqlite_version_info=version, sqlite_version=".".join(map(str, version)))

    monkeypatch.setattr(engine, "import_module", import_module)


@pytest.mark.parametrize(
    ("versions", "module", "safe"),
    [
        ({"pysqlite3": (3, 51, 3), "sqlite3": (3, 40, 1)}, "pysqlite3", True),
        ({"pysqlite3": (3, 51, 2), "sqlite3": (3, 52, 0)}, "sqlite3", True),
        ({"sqlite3": (3, 51, 3)}, "sqlite3", True),
        ({"sqlite3": (3, 51, 2)}, "sqlite3", False),
        ({"pysqlite3": (3, 45, 0), "sqlite3": (3, 40, 1)}, "sqlite3", False),
    ],
)
def test_a_write_ahead_log_is_used_only_where_it_is_safe(
    monkeypatch: pytest.MonkeyPatch, versions: dict[str, tuple[int, int, int]], module: str, safe: bool
) -> None:
    pretend(monkeypatch, **versions)
    chosen, may_use_log = engine.sqlite_driver()
    assert (chosen.__name__.partition(".")[0], may_use_log) == (module, safe)
    assert sqlite_info().safe_wal is safe
    assert sqlite_info().version == ".".join(map(str, versions[module]))


def without_log(monkeypatch: pytest.MonkeyPatch) -> None:
    # The same library as before: two of them in one process would not see each other's locks.
    module, _ = engine.sqlite_driver()
    monkeypatch.setattr(engine, "sqlite_driver", lambda: (module, False))


def pragma(store: Store, name: str) -> object:
    with engine.reading(store.engine) as connection:
        return connection.exec_driver_sql(f"PRAGMA {name}").scalar()


def test_writes_are_synced_to_the_disk_in_either_journal(monkeypatch: pytest.MonkeyPatch, sqlite_url: str) -> None:
    full, extra = 2, 3
    with Store.open(sqlite_url) as store:
        safe = sqlite_info().safe_wal
        assert pragma(store, "journal_mode") == ("wal" if safe else "delete")
        assert pragma(store, "synchronous") == (full if safe else extra)
    without_log(monkeypatch)
    with Store.open(sqlite_url) as store:
        assert pragma(store, "journal_mode") == "delete"
        assert pragma(store, "synchronous") == extra
        assert pragma(store, "busy_timeout") == 60_000
        assert pragma(store, "foreign_keys") == 1


def test_everything_works_without_a_write_ahead_log(monkeypatch: pytest.MonkeyPatch, sqlite_url: str) -> None:
    without_log(monkeypatch)
    with Store.open(sqlite_url) as store:
        import_records(store, items=COURSES, events=[click("ada", "maps")])
        store.append(click("ada", "bread", 1))
        assert [found.item_id for found in store.events("ada")] == ["maps", "bread"]


def test_a_log_left_by_a_newer_sqlite_is_not_used_by_an_unsafe_one(
    monkeypatch: pytest.MonkeyPatch, sqlite_url: str
) -> None:
    if not sqlite_info().safe_wal:
        pytest.skip("this SQLite makes no write-ahead log")
    monkeypatch.setattr(engine, "_BUSY_SECONDS", 0.1)
    with Store.open(sqlite_url) as store, engine.reading(store.engine) as connection:
        connection.execute(text("SELECT count(*) FROM items"))
        without_log(monkeypatch)
        with pytest.raises(BusyError):
            Store.open(sqlite_url)


@pytest.mark.parametrize(
    "url",
    [
        "sqlite://",
        "sqlite:///:memory:",
        "mysql://shop:secret@host/name",
        "not a url: secret",
        "postgresql://u:secret@h:x/n",
    ],
)
def test_a_url_that_cannot_be_used_is_refused_without_showing_it(url: str) -> None:
    with pytest.raises(StoreError) as caught:
        Store.open(url)
    assert "secret" not in "".join(map(str, (caught.value, caught.value.hint, caught.value.__cause__)))
    assert "sqlite:///" in caught.value.hint


def test_a_server_that_is_not_there_is_named_without_its_password() -> None:
    with pytest.raises(StoreError, match="cannot be reached") as caught:
        Store.open("postgresql://shop:secret@127.0.0.1:1/name")
    assert "127.0.0.1" in str(caught.value)
    assert "secret" not in f"{caught.value}{caught.value.hint}"


def test_a_missing_driver_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    pretend(monkeypatch)
    with pytest.raises(MissingExtraError) as caught:
        Store.open("postgresql://host/name")
    assert "llmrec[postgres]" in caught.value.hint


def test_a_path_may_hold_what_a_url_may_not(tmp_path: Path) -> None:
    directory = tmp_path / "100%25 new? #1 @home"
    directory.mkdir()
    with Store.open(f"sqlite:///{directory / 'store.db'}"):
        assert (directory / "store.db").exists()


def test_a_file_that_is_no_database_is_refused(write: Callable[[str, str], Path]) -> None:
    path = write("store.db", "This is a letter, and no database at all. " * 50)
    with pytest.raises(StoreError, match="not a database"):
        Store.open(f"sqlite:///{path}")


def test_a_directory_that_does_not_exist_is_refused(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="cannot be opened") as caught:
        Store.open(f"sqlite:///{tmp_path}/missing/store.db")
    assert "directory" in caught.value.hint


def test_writing_to_a_read_only_database_is_an_error(sqlite_store: Store) -> None:
    event.listen(sqlite_store.engine, "checkout", lambda connection, *_: connection.execute("PRAGMA query_only = ON"))
    with pytest.raises(StoreError, match="read-only"):
        sqlite_store.append(Event("ada", text="hello"))


def test_a_lock_held_too_long_is_a_busy_error(monkeypatch: pytest.MonkeyPatch, sqlite_url: str) -> None:
    monkeypatch.setattr(engine, "_BUSY_SECONDS", 0.1)
    with Store.open(sqlite_url) as store:
        with engine.writing(store.engine), pytest.raises(BusyError) as caught:
            store.append(Event("ada", text="hello"))
        assert caught.value.retryable
        assert store.append(Event("ada", text="hello")).sequence == 1


def test_a_full_disk_loses_nothing_that_was_stored(sqlite_store: Store) -> None:
    import_records(sqlite_store, items=COURSES, events=[click("ada", "maps")])
    many = [Item(f"item{number}", f"Course {number}", "words " * 100) for number in range(300)]
    event.listen(
        sqlite_store.engine, "checkout", lambda connection, *_: connection.execute("PRAGMA max_page_count = 40")
    )
    with pytest.raises(StoreError, match="no space left") as caught:
        import_records(sqlite_store, items=many)
    assert "free some space" in caught.value.hint
    with pytest.raises(StoreError, match="no space left"):
        sqlite_store.append_many([Event("ada", text="words " * 1000) for _ in range(100)])
    assert sqlite_store.counts() == {"users": 1, "items": 3, "events": 1}
    assert sqlite_store.append(click("ada", "bread", 1)).sequence == 2


def test_values_do_not_appear_in_the_errors_of_the_database(sqlite_store: Store) -> None:
    with pytest.raises(StoreError) as caught, engine.writing(sqlite_store.engine) as connection:
        connection.execute(text("INSERT INTO nowhere VALUES (:value)"), {"value": "private"})
    assert "private" not in f"{caught.value}{caught.value.__cause__}"
