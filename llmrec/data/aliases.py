"""Which release answers each task: a pointer that moves in one transaction, together with its line in the log."""

from __future__ import annotations

from sqlalchemy import Engine, select, update

from llmrec.data.engine import reading, writing
from llmrec.data.release_log import ReleaseState, write_deed
from llmrec.data.schema import aliases

__all__ = ["ANY_RELEASE", "Aliases"]

ANY_RELEASE = "*"
"""No version: whatever is live now may be followed."""


class Aliases:
    """The pointers of a store; safe to share between threads.

    Args:
        engine: Of the store's database.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def now(self, task: str) -> str | None:
        """The release that answers a task now."""
        with reading(self._engine) as connection:
            found: str | None = connection.scalar(select(aliases.c.release).where(aliases.c.task == task))
            return found

    def before(self, task: str) -> str | None:
        """The release that answered the task before the present one."""
        with reading(self._engine) as connection:
            found: str | None = connection.scalar(select(aliases.c.previous).where(aliases.c.task == task))
            return found

    def move(
        self,
        task: str,
        release: str,
        *,
        expected: str | None = ANY_RELEASE,
        state: ReleaseState = "promoted",
        why: str = "",
    ) -> bool:
        """Point a task at a release, and remember the one before; setting the same one again changes nothing.

        Args:
            task: Which.
            release: Its version.
            expected: What it must point at now, None for nothing; looked at in the same transaction.
            state: What the log calls that, in the same transaction.
            why: What it says of the reason.

        Returns:
            Whether it points there now; False, and nothing has changed, where it did not point at what was expected.
        """
        with writing(self._engine) as connection:
            before = connection.scalar(select(aliases.c.release).where(aliases.c.task == task))
            if expected not in (ANY_RELEASE, before):
                return False
            if before == release:
                return True
            if before is None:
                connection.execute(aliases.insert().values(task=task, release=release))
            else:
                moved = update(aliases).where(aliases.c.task == task)
                connection.execute(moved.values(previous=before, release=release))
            write_deed(connection, task, release, state, why)
        return True
