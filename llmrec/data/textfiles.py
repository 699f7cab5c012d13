"""CSV, TSV and JSON lines, row by row, with the line numbers an editor shows.

What makes one row unreadable (stray bytes, a missing cell, a broken quote) becomes a BadRow and reading goes on; what
makes the whole file unreadable is an ImportRefused.
"""

from __future__ import annotations

import csv
import gzip
import io
import json
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import IO
from zipfile import BadZipFile

from llmrec.data.sources import BadRow, Row
from llmrec.data.tables import Table, damaged, keyed_table
from llmrec.errors import ImportRefused

__all__ = ["Opener", "csv_table", "json_lines_table", "lines", "tsv_table"]

# Starts reading a file from its beginning.
Opener = Callable[[], IO[bytes] | gzip.GzipFile]
# The cells of one line, or why it has none.
_Cells = list[str] | BadRow


def csv_table(name: str, opener: Opener) -> Table:
    """A CSV file with a header; the separator is the one its header has most of: comma, semicolon or tab.

    Raises:
        ImportRefused: The file is missing, empty or no text.
    """
    with _text(name, opener) as stream:
        first = stream.readline()
    separator = max(",;\t", key=first.count)
    return _delimited(name, opener, lambda stream: _csv_cells(stream, separator))


def tsv_table(name: str, opener: Opener) -> Table:
    """A tab-separated file with a header, its cells quoted or not.

    Raises:
        ImportRefused: The file is missing, empty or no text.
    """
    return _delimited(name, opener, _tsv_cells)


def json_lines_table(name: str, opener: Opener) -> Table:
    """A file with one JSON object a line.

    Raises:
        ImportRefused: The file is missing, empty or no text.
    """
    table = keyed_table(name, lambda: _json_rows(name, opener))
    if table.columns is None:
        first = next(table.rows(), None)
        reason = f"line {first[0]} {first[1]}" if first else "it is empty"
        raise ImportRefused(f"{name} holds no rows: {reason}", hint='write one object a line: {"user_id": "1", ...}')
    return table


def lines(name: str, opener: Opener) -> Iterator[tuple[int, str]]:
    """The lines of an old text file that is UTF-8 or, where it cannot be, Latin-1; numbered from 1."""
    with _reporting(name), opener() as stream:
        for number, line in enumerate(stream, 1):
            try:
                text = line.decode("utf-8")
            except UnicodeDecodeError:
                text = line.decode("latin-1")
            if text.strip():
                yield number, text.rstrip("\r\n")


def _delimited(name: str, opener: Opener, split: Callable[[IO[str]], Iterator[tuple[int, _Cells]]]) -> Table:
    with _text(name, opener) as stream:
        header = next(split(stream), None)
    if header is None:
        raise ImportRefused(f"{name} is empty", hint="its first line must name the columns")
    columns = header[1]
    if isinstance(columns, BadRow) or _unreadable(columns):
        raise ImportRefused(f"{name} is no text file in UTF-8", hint="save it as UTF-8 text, or name its format")

    def rows() -> Iterator[Row]:
        with _text(name, opener) as stream:
            cells = split(stream)
            next(cells)
            for line, row in cells:
                yield line, row if isinstance(row, BadRow) else _named(columns, row)

    return Table(name, tuple(columns), rows, typed=False)


def _named(columns: Sequence[str], cells: list[str]) -> dict[str, object] | BadRow:
    if reason := _unreadable(cells):
        return BadRow("row", "\t".join(cells), reason)
    if len(cells) != len(columns):
        return BadRow("row", "\t".join(cells), f"has {len(cells)} cells where the header has {len(columns)}")
    return dict(zip(columns, cells, strict=True))


def _unreadable(cells: list[str]) -> str | None:
    text = "".join(cells)
    if "\0" in text:
        return "holds a NUL byte"
    try:
        text.encode()
    except UnicodeEncodeError:
        return "is not UTF-8"
    return None


def _csv_cells(stream: IO[str], separator: str) -> Iterator[tuple[int, _Cells]]:
    reader = csv.reader(stream, delimiter=separator, strict=True, skipinitialspace=True)
    while True:
        # A quoted cell may go over several lines: the row stands where it begins.
        line = reader.line_num + 1
        try:
            cells = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            yield line, BadRow("row", "", f"is no CSV: {error}")
            continue
        if cells:
            yield line, cells


def _tsv_cells(stream: IO[str]) -> Iterator[tuple[int, _Cells]]:
    for line, text in enumerate(stream, 1):
        if text.strip("\r\n"):
            yield line, [_unquoted(cell) for cell in text.rstrip("\r\n").split("\t")]


def _unquoted(cell: str) -> str:
    # Some programs quote as in CSV, others write titles that begin with a quote: only a whole, doubled quoting counts.
    inner = cell[1:-1]
    if len(cell) < 2 or cell[0] != '"' or cell[-1] != '"' or '"' in inner.replace('""', ""):
        return cell
    return inner.replace('""', '"')


def _json_rows(name: str, opener: Opener) -> Iterator[Row]:
    with _text(name, opener) as stream:
        for line, text in enumerate(stream, 1):
            if text.strip():
                yield line, _json_object(text)


def _json_object(text: str) -> dict[str, object] | BadRow:
    if reason := _unreadable([text]):
        return BadRow("row", text.strip(), reason)
    try:
        value = json.loads(text)
    except (ValueError, RecursionError) as error:
        return BadRow("row", text.strip(), f"is no JSON: {error}")
    return value if isinstance(value, dict) else BadRow("row", text.strip(), "is no JSON object")


@contextmanager
def _text(name: str, opener: Opener) -> Iterator[IO[str]]:
    # Bytes that are no UTF-8 become lone surrogates, so that their row can be named instead of ending the file.
    with (
        _reporting(name),
        opener() as binary,
        io.TextIOWrapper(binary, encoding="utf-8-sig", errors="surrogateescape", newline="") as stream,
    ):
        yield stream


@contextmanager
def _reporting(name: str) -> Iterator[None]:
    try:
        yield
    except FileNotFoundError as error:
        raise ImportRefused(f"there is no file {name}", hint="check the path") from error
    except IsADirectoryError as error:
        raise ImportRefused(f"{name} is a directory", hint="name a file in it") from error
    except PermissionError as error:
        raise ImportRefused(f"{name} may not be read", hint="check its permissions") from error
    except (OSError, EOFError, zlib.error, BadZipFile) as error:
        raise damaged(name, error) from error
