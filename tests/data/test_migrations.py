from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from sqlalchemy import text

from llmrec.data import Store
from llmrec.data.engine import make_engine, reading, writing
from llmrec.data.migrations import VERSION_TABLE, current_revision
from llmrec.data.schema import metadata
from llmrec.errors import StoreError
from llmrec.records import Event


def test_the_migrations_make_the_tables_that_the_code_expects(store: Store) -> None:
    with reading(store.engine) as connection:
        context = MigrationContext.configure(connection, opts={"version_table": VERSION_TABLE})
        assert compare_metadata(context, metadata) == []


def test_an_empty_database_is_brought_to_the_newest_revision(new_url: str) -> None:
    engine = make_engine(new_url)
    with reading(engine) as connection:
        assert current_revision(connection) is None
    engine.dispose()
    with Store.open(new_url) as store, reading(store.engine) as connection:
        assert current_revision(connection) == "0006"


def test_turns_of_an_earlier_version_are_kept_and_have_no_thumb(new_url: str) -> None:
    engine = make_engine(new_url)
    config = Config()
    config.set_main_option("script_location", "llmrec.data:migrations")
    with writing(engine) as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, "0003")
        connection.execute(text("INSERT INTO users VALUES ('ada', '{}')"))
        connection.execute(text("INSERT INTO turns VALUES (7, 'ada', 'c', 0, 'hello', 'Hello.', '[]', '{}')"))
    engine.dispose()
    with Store.open(new_url) as store:
        (turn,) = store.turns.of("ada")
        assert (turn.number, turn.said, turn.thumb) == (7, "hello", None)
        store.turns.thumb("ada", "c", 7, True)
        assert store.turns.of("ada")[0].thumb is True


def test_opening_again_keeps_what_is_stored(new_url: str) -> None:
    with Store.open(new_url) as store:
        store.append(Event("ada", text="hello"))
    with Store.open(new_url) as store:
        assert store.counts()["events"] == 1


def test_a_database_of_a_newer_version_is_refused_and_left_alone(new_url: str) -> None:
    with Store.open(new_url) as store, writing(store.engine) as connection:
        connection.execute(text(f"UPDATE {VERSION_TABLE} SET version_num = '9999'"))
    with pytest.raises(StoreError, match="revision 9999") as caught:
        Store.open(new_url)
    assert "--upgrade llmrec" in caught.value.hint


def test_tables_of_another_program_are_not_taken_over(new_url: str) -> None:
    engine = make_engine(new_url)
    with writing(engine) as connection:
        connection.execute(text("CREATE TABLE items (price INTEGER)"))
    engine.dispose()
    with pytest.raises(StoreError, match="already") as caught:
        Store.open(new_url)
    assert "database of its own" in caught.value.hint
    engine = make_engine(new_url)
    with reading(engine) as connection:
        assert current_revision(connection) is None
    engine.dispose()


def test_a_database_may_hold_the_revisions_of_an_application(new_url: str) -> None:
    engine = make_engine(new_url)
    with writing(engine) as connection:
        connection.execute(text("CREATE TABLE alembic_version (version_num TEXT)"))
        connection.execute(text("INSERT INTO alembic_version VALUES ('shop-17')"))
    engine.dispose()
    with Store.open(new_url) as store, reading(store.engine) as connection:
        assert connection.scalar(text("SELECT version_num FROM alembic_version")) == "shop-17"


def test_ids_are_ordered_alike_on_every_server(postgres_url: str) -> None:
    query = (
        "SELECT collation_name FROM information_schema.columns WHERE column_name LIKE '%_id' AND table_name = :table"
    )
    with Store.open(postgres_url) as store, reading(store.engine) as connection:
        for table in ("users", "items"):
            assert set(connection.scalars(text(query), {"table": table})) == {"C"}


def test_several_processes_may_open_a_new_store_at_once(new_url: str, tmp_path: Path) -> None:
    opening = (
        "import sys, time; from pathlib import Path; from llmrec.data import Store\n"
        "Path(sys.argv[2], sys.argv[3]).touch()\n"
        "while len(list(Path(sys.argv[2]).glob('ready*'))) < 3: time.sleep(0.001)\n"
        "Store.open(sys.argv[1]).close()"
    )
    commands = [[sys.executable, "-c", opening, new_url, str(tmp_path), f"ready{number}"] for number in range(3)]
    processes = [subprocess.Popen(command, stderr=subprocess.PIPE, text=True) for command in commands]
    assert [process.communicate(timeout=60)[1] for process in processes] == ["", "", ""]
    with Store.open(new_url) as store:
        assert store.counts() == {"users": 0, "items": 0, "events": 0}
