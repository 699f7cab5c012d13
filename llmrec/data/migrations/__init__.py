"""Numbered revisions of the tables, and the one function that brings a database to the newest."""

from __future__ import annotations

from alembic import command
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, Engine

from llmrec.data.engine import reading, writing
from llmrec.errors import StoreError

__all__ = ["VERSION_TABLE", "current_revision", "upgrade"]

# Not alembic's default name: a database shared with an application may hold the application's own revisions.
VERSION_TABLE = "llmrec_revision"


def upgrade(engine: Engine) -> None:
    """Bring the tables to the newest revision; a database that has it is only read.

    Raises:
        StoreError: The database was written by a newer llmrec.
    """
    config = Config()
    config.set_main_option("script_location", "llmrec.data:migrations")
    scripts = ScriptDirectory.from_config(config)
    with reading(engine) as connection:
        revision = current_revision(connection)
    if revision == scripts.get_current_head():
        return
    _refuse_unknown(revision, {script.revision for script in scripts.walk_revisions()})
    # Of two processes that arrive here at once the second waits, then finds nothing left to do.
    with writing(engine) as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, "head")


def current_revision(connection: Connection) -> str | None:
    """The revision of the tables, or None where there are none."""
    return MigrationContext.configure(connection, opts={"version_table": VERSION_TABLE}).get_current_revision()


def _refuse_unknown(revision: str | None, known: set[str]) -> None:
    if revision is not None and revision not in known:
        raise StoreError(
            f"the database has revision {revision}, and this llmrec knows none later than {max(known)}",
            hint="a newer llmrec wrote it: pip install --upgrade llmrec",
        )
