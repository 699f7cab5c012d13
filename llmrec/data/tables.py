"""Tables: anything with named columns or keyed rows, before it is known to hold users, items or events."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import chain, islice
from pathlib import Path
from typing import Any

import narwhals as nw
from narwhals.exceptions import NarwhalsError

from llmrec.data.rows import check_columns
from llmrec.data.sources import BadRow, Kind, Row, Source
from llmrec.errors import ImportRefused, MissingExtraError
from llmrec.records import Event, Item, User

__all__ = ["Table", "damaged", "frame_table", "iterable_table", "keyed_table", "parquet_table"]

# Rows may leave keys out: the columns of keyed rows are those of this many.
_PEEKED = 100
_BATCH = 10_000


@dataclass(frozen=True, slots=True)
class Table:
    """Named columns and their rows; `columns` is None where rows are records and need none.

    `typed` is False where every value is the text of a cell.
    """

    name: str
    columns: tuple[str, ...] | None
    rows: Callable[[], Iterator[Row]]
    typed: bool = True

    def to_source(self, kind: Kind, rename: Mapping[str, str] | None = None) -> Source:
        """The same rows as users, items or events, under our names.

        Raises:
            ImportRefused: Columns are missing or unknown.
        """
        if self.columns is None:
            return Source(kind, self.name, self.rows, self.typed)
        names = {theirs: ours for theirs, ours in (rename or {}).items() if theirs in self.columns}
        check_columns(kind, self.name, [names.get(column, column) for column in self.columns])
        rows = (lambda: _renamed(self.rows(), names)) if names else self.rows
        return Source(kind, self.name, rows, self.typed, self.columns)


def _renamed(rows: Iterator[Row], names: Mapping[str, str]) -> Iterator[Row]:
    for line, content in rows:
        if isinstance(content, Mapping):
            yield line, {names.get(column, column): value for column, value in content.items()}
        else:
            yield line, content


def keyed_table(name: str, start: Callable[[], Iterator[Row]]) -> Table:
    """A table of rows that bring their own keys, such as JSON objects; read once to see them, and again for all."""
    return Table(name, _keys(list(islice(start(), _PEEKED))), start)


def iterable_table(data: Iterable[object]) -> Table:
    """Records or mappings, counted from 1."""
    rows = _numbered(data)
    first = list(islice(rows, _PEEKED))
    return Table("rows", _keys(first), lambda: chain(first, rows))


def _keys(rows: list[Row]) -> tuple[str, ...] | None:
    keyed = [content for _, content in rows if isinstance(content, Mapping)]
    return tuple(dict.fromkeys(key for content in keyed for key in content)) if keyed else None


def _numbered(data: Iterable[object]) -> Iterator[Row]:
    for line, content in enumerate(data, 1):
        if isinstance(content, Mapping | User | Item | Event):
            yield line, content
        else:
            yield line, BadRow("row", content, f"is a {type(content).__name__}, not a record or a dict")


def frame_table(data: Any) -> Table:
    """A pandas, polars or pyarrow table, or another one that narwhals knows; rows are counted from 1.

    Raises:
        ImportRefused: It is lazy, or its columns have no usable names.
    """
    if nw.dependencies.is_pyarrow_table(data):
        return Table("table", tuple(data.column_names), lambda: _arrow_rows(data.to_batches(_BATCH)))
    try:
        frame = nw.from_native(data, eager_only=True)
        columns = tuple(frame.columns)
    except (TypeError, NarwhalsError) as error:
        raise ImportRefused(
            f"the table cannot be read: {error}", hint="give an eager table (collect() a lazy one) with named columns"
        ) from error
    # pandas has no other way to say that a number is missing; elsewhere NaN is a value, and a wrong one.
    missing = _is_missing if frame.implementation.is_pandas_like() else lambda value: value is None
    return Table("table", columns, lambda: _frame_rows(frame, missing))


def _frame_rows(frame: nw.DataFrame[Any], missing: Callable[[object], bool]) -> Iterator[Row]:
    for line, row in enumerate(frame.iter_rows(named=True), 1):
        yield line, {column: None if missing(value) else _plain(value) for column, value in row.items()}


def _is_missing(value: object) -> bool:
    if value is None or type(value).__name__ in ("NAType", "NaTType"):
        return True
    return isinstance(value, float) and value != value  # noqa: PLR0124 - true of NaN alone


def _plain(value: Any) -> Any:
    """The Python value in a numpy scalar or array."""
    return value.tolist() if type(value).__module__ == "numpy" else value


def parquet_table(path: Path, name: str) -> Table:
    """A Parquet file, read batch by batch; rows are counted from 1.

    Raises:
        MissingExtraError: pyarrow is not installed.
        ImportRefused: The file is damaged, or no Parquet.
    """
    try:
        from pyarrow import ArrowException
        from pyarrow.parquet import ParquetFile
    except ModuleNotFoundError as error:
        raise MissingExtraError("pyarrow", extra="tables", purpose="reading Parquet files") from error

    def rows() -> Iterator[Row]:
        try:
            with ParquetFile(path) as file:
                yield from _arrow_rows(file.iter_batches(_BATCH))
        except (ArrowException, OSError) as error:
            raise damaged(name, error) from error

    try:
        with ParquetFile(path) as file:
            columns = tuple(file.schema_arrow.names)
    except (ArrowException, OSError) as error:
        raise damaged(name, error) from error
    return Table(name, columns, rows)


def damaged(name: str, error: Exception) -> ImportRefused:
    """The refusal of a file that breaks off or is not what its name says."""
    reason = str(error).partition("\n")[0] or type(error).__name__
    return ImportRefused(
        f"{name} cannot be read: {reason}", hint="the file is damaged or of another format; get it anew"
    )


def _arrow_rows(batches: Iterable[Any]) -> Iterator[Row]:
    line = 0
    for batch in batches:
        for row in _in_microseconds(batch).to_pylist():
            line += 1
            yield line, row


def _in_microseconds(batch: Any) -> Any:
    """The batch with times that a datetime can hold: nanoseconds cannot be told apart by anything here."""
    import pyarrow as pa

    wanted = [
        pa.field(field.name, pa.timestamp("us", field.type.tz))
        if pa.types.is_timestamp(field.type) and field.type.unit == "ns"
        else field
        for field in batch.schema
    ]
    columns = [column.cast(field.type, safe=False) for column, field in zip(batch.columns, wanted, strict=True)]
    return pa.RecordBatch.from_arrays(columns, schema=pa.schema(wanted))
