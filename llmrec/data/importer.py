"""Imports: all of it or nothing.

Rows are parsed and staged beside the store, checked there as sets, and stored in one short transaction at the end. An
import that is refused, interrupted or killed leaves the store as it was.
"""

from __future__ import annotations

from bisect import insort
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import count
from operator import itemgetter
from typing import Any

from sqlalchemy import Connection
from tqdm import tqdm

from llmrec.data.engine import WRITES
from llmrec.data.merging import Counts, merge_events, merge_items, merge_users
from llmrec.data.reading import read
from llmrec.data.rows import EventIds, record_of
from llmrec.data.sources import BadRow, Kind, Record, Row, Source, shown
from llmrec.data.staging import CHECKS, STAGED, TAKEN_BY_STORED, UNKNOWN_ITEM, Check, find, remove, size, stage, staging
from llmrec.data.store import Store, event_row
from llmrec.errors import ImportRefused, RowError
from llmrec.records import Event, User

__all__ = ["ImportReport", "import_records"]

_KEPT = 20


@dataclass(frozen=True, slots=True)
class ImportReport:
    """What an import did.

    Args:
        users: Users added (those only events name among them), updated, or stored just so before.
        items: The same for items.
        events: Events added; `repeated` were stored before, or stand in the import twice.
        skipped: The first bad rows that were left out on request.
        skipped_total: How many were left out in all.
    """

    users: Counts
    items: Counts
    events: Counts
    skipped: tuple[RowError, ...] = ()
    skipped_total: int = 0

    def to_dict(self) -> dict[str, Any]:
        """The JSON form."""
        return {**asdict(self), "skipped": [str(row) for row in self.skipped]}


def import_records(
    store: Store,
    *,
    users: Any = None,
    items: Any = None,
    events: Any = None,
    format: str | None = None,
    rename: Mapping[str, str] | None = None,
    skip_bad: bool = False,
    progress: bool = False,
) -> ImportReport:
    """Store users, items and events: every row or, if any is bad, none.

    Each of the three is whatever `read` takes: a path, a table, an iterable of records or dicts.

    Args:
        store: Where to.
        users: A user that is stored already gets these attributes instead of its own.
        items: An item that is stored already is replaced and keeps its position.
        events: About items that are stored or come along.
        format: The format of the files, where their suffixes do not tell.
        rename: Our column name for each column that has another one, in any of the three.
        skip_bad: Leave bad rows out instead of refusing the import; the report names them.
        progress: Show a bar on a terminal.

    Raises:
        ImportRefused: Rows are bad, a column is missing, or no event is about a known item.
        MissingExtraError: Reading a file needs a package that is not installed.
        StoreError: The database cannot be written.
        BusyError: Another process kept it locked for too long.
    """
    given: tuple[tuple[Any, Kind], ...] = ((users, "users"), (items, "items"), (events, "events"))
    sources = [source for data, kind in given for source in read(data, kind, format=format, rename=rename)]
    _check_rename(rename or {}, sources)
    with staging(store.engine) as connection:
        run = _Import(connection, sources, skip_bad)
        with connection.begin():
            run.stage(progress)
            run.check()
        connection.execution_options(**{WRITES: True})
        with connection.begin():
            return run.store()


def _check_rename(rename: Mapping[str, str], sources: Sequence[Source]) -> None:
    found = {column for source in sources for column in source.columns}
    for name in rename:
        if name not in found:
            columns = ", ".join(sorted(found)) or "none"
            raise ImportRefused(f"there is no column {shown(name)} to rename", hint=f"columns found: {columns}")


class _Import:
    """One run: what is staged on its connection, and the bad rows found so far."""

    def __init__(self, connection: Connection, sources: Sequence[Source], skip_bad: bool) -> None:
        self._connection = connection
        self._sources = sources
        self._skip_bad = skip_bad
        self._bad = _BadRows()

    def stage(self, progress: bool) -> None:
        """Write the good rows to the staging tables."""
        numbers, ids = count(1), EventIds()
        for part, source in enumerate(self._sources):
            rows = tqdm(source.rows(), desc=source.name, unit=" rows", leave=False, disable=None if progress else True)
            stage(self._connection, STAGED[source.kind], self._good_rows(part, rows, numbers, ids))

    def check(self) -> None:
        """Check the staged rows with each other and with the store, and refuse the import or take bad rows out."""
        items_are_bad = any(self._sources[part].kind == "items" for part in self._bad.parts)
        for check in CHECKS:
            # An event about an item whose own row is bad is not another mistake to correct.
            if self._skip_bad or check is not UNKNOWN_ITEM or not items_are_bad:
                self._apply(check)
        self._settle()

    def store(self) -> ImportReport:
        """Merge what is staged into the store; the caller holds the write transaction."""
        self._apply(TAKEN_BY_STORED)
        self._settle()
        connection = self._connection
        users, items, events = merge_users(connection), merge_items(connection), merge_events(connection)
        return ImportReport(users, items, events, self._bad.first(), self._bad.total)

    def _good_rows(
        self, part: int, rows: Iterable[Row], numbers: Iterator[int], ids: EventIds
    ) -> Iterator[dict[str, Any]]:
        source = self._sources[part]
        for number, (line, content) in zip(numbers, rows, strict=False):
            try:
                record = record_of(source.kind, content, typed=source.typed)
            except BadRow as bad:
                self._bad.add(number, part, RowError(source.name, line, bad.field, bad.value, bad.reason))
            else:
                yield {"row": number, "part": part, "line": line, **_columns(record, ids)}

    def _apply(self, check: Check) -> None:
        faults, total = find(self._connection, check, _KEPT)
        for fault in faults:
            name = self._sources[fault.part].name
            error = RowError(name, fault.line, check.field, shown(fault.value), check.reason)
            self._bad.add(fault.row, fault.part, error)
        self._bad.total += total - len(faults)
        if check is UNKNOWN_ITEM and 0 < total == size(self._connection, check.table):
            raise self._bad.refusal(f"none of the {total} events is about an item that is stored")
        if faults and self._skip_bad:
            remove(self._connection, check)

    def _settle(self) -> None:
        if self._bad.total and not self._skip_bad:
            raise self._bad.refusal("one row is bad" if self._bad.total == 1 else f"{self._bad.total} rows are bad")


class _BadRows:
    """The first bad rows in the order of the import, and how many there are in all."""

    def __init__(self) -> None:
        self.total = 0
        self.parts: set[int] = set()
        self._rows: list[tuple[int, RowError]] = []

    def add(self, number: int, part: int, error: RowError) -> None:
        self.total += 1
        self.parts.add(part)
        insort(self._rows, (number, error), key=itemgetter(0))
        del self._rows[_KEPT:]

    def first(self) -> tuple[RowError, ...]:
        return tuple(error for _, error in self._rows)

    def refusal(self, reason: str) -> ImportRefused:
        rows = self.first()
        ways = ["correct them", "leave them out with --skip-bad (skip_bad=True)"]
        if any(row.reason == UNKNOWN_ITEM.reason for row in rows):
            ways.insert(0, "import the missing items first or along with the events")
        hint = "nothing was imported: " + ", or ".join(ways)
        return ImportRefused(f"{reason}, the first is {rows[0]}", hint=hint, rows=rows, total=self.total)


def _columns(record: Record, ids: EventIds) -> dict[str, Any]:
    if isinstance(record, User):
        return {"user_id": record.user_id, "attributes": record.attributes}
    if isinstance(record, Event):
        return event_row(record) | {"event_id": ids.of(record), "given": record.event_id is not None}
    return {
        "item_id": record.item_id,
        "title": record.title,
        "description": record.description,
        "attributes": record.attributes,
    }
