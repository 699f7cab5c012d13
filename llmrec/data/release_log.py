"""What became of each release, when, through whom and why: rows that are added and never changed."""

from __future__ import annotations

import getpass
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Literal

from sqlalchemy import Connection, Engine, select

from llmrec.data.engine import reading, writing
from llmrec.data.schema import release_log

__all__ = ["EVERY", "ReleaseDeed", "ReleaseLog", "ReleaseState", "write_deed"]

ReleaseState = Literal["made", "installed", "discarded", "passed", "rejected", "promoted", "rolled back", "marked"]
EVERY = "*"
"""Stands for every task, and for every release there is."""


@dataclass(frozen=True, slots=True)
class ReleaseDeed:
    """One thing that was done to a release.

    Args:
        time: When, in UTC.
        task: rank or answer; `EVERY`: all.
        release: Its version; `EVERY`: all that were there.
        state: What it is since.
        who: The name of the account that the process ran under.
        why: What the gate said, which command it was, and the like.
    """

    time: datetime
    task: str
    release: str
    state: str
    who: str
    why: str

    def to_dict(self) -> dict[str, Any]:
        """The JSON form."""
        return {
            "time": self.time.isoformat(),
            "release": self.release,
            "state": self.state,
            "who": self.who,
            "why": self.why,
        }


class ReleaseLog:
    """The log of a store; safe to share between threads.

    Args:
        engine: Of the store's database.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def note(self, task: str, release: str, state: ReleaseState, why: str) -> None:
        """Add what was done to a release."""
        with writing(self._engine) as connection:
            write_deed(connection, task, release, state, why)

    def of(self, task: str) -> tuple[ReleaseDeed, ...]:
        """What was done to a task's releases, oldest first."""
        table = release_log.c
        columns = (table.time, table.task, table.release, table.state, table.who, table.why)
        query = select(*columns).where(table.task.in_([task, EVERY])).order_by(table.number)
        with reading(self._engine) as connection:
            return tuple(ReleaseDeed(*row) for row in connection.execute(query))


def write_deed(connection: Connection, task: str, release: str, state: ReleaseState, why: str) -> None:
    """Add what was done; the caller holds the write transaction, so that the row stands or falls with the deed."""
    row = {"task": task, "release": release, "state": state, "why": why, "who": _account()}
    connection.execute(release_log.insert().values(time=datetime.now(UTC), **row))


def _account() -> str:
    try:
        return getpass.getuser()
    except (OSError, KeyError):  # a container may run under a number that has no name
        return "unknown"
