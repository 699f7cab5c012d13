"""What every reader gives: rows of one kind from one place, each with its line, or the reason it cannot be used."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Literal

from llmrec.records import Event, Item, User

__all__ = ["BadRow", "Kind", "Record", "Row", "RowContent", "Source", "shown"]

Kind = Literal["users", "items", "events"]
Record = User | Item | Event

_SHOWN = 80


class BadRow(Exception):  # noqa: N818 - it names the row, and never leaves this package
    """Why one row cannot be used: the field, its value and the reason."""

    def __init__(self, field: str, value: object, reason: str) -> None:
        super().__init__(reason)
        self.field = field
        self.value = shown(value)
        self.reason = reason


RowContent = Mapping[str, object] | Record | BadRow
Row = tuple[int, RowContent]


@dataclass(frozen=True, slots=True)
class Source:
    """Rows of one kind.

    Args:
        kind: users, items or events.
        name: Where they come from, as messages show it.
        rows: Starts reading; yields (line, content), the line counted from 1 as an editor shows it.
        typed: False where every value is the text of a cell, so that numbers and lists must be read out of it.
        columns: The names its columns have there, where it has columns.
    """

    kind: Kind
    name: str
    rows: Callable[[], Iterator[Row]]
    typed: bool = True
    columns: tuple[str, ...] = ()


def shown(value: object) -> str:
    """A value as a message shows it: quoted, and cut where it is long."""
    text = repr(value)
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}..."
