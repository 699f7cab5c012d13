"""RecBole's atomic files: NAME.inter, NAME.item and NAME.user, tab-separated under a header of name:type.

Tokens stay text, floats become numbers, sequences of tokens become tuples. Of an interaction the user, the item, the
rating (as value), the time and a review (as text) are kept. Columns of film catalogues get their usual names.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import PurePath

from llmrec.data.sources import BadRow, Kind, Row, Source
from llmrec.data.textfiles import Opener, lines
from llmrec.data.titles import title_and_year
from llmrec.errors import ImportRefused

__all__ = ["SUFFIXES", "recbole_source"]

SUFFIXES: Mapping[str, Kind] = {".user": "users", ".item": "items", ".inter": "events"}

_NAMES: Mapping[Kind, Mapping[str, str]] = {
    "users": {},
    "items": {
        "movie_title": "title",
        "item_title": "title",
        "name": "title",
        "release_year": "year",
        "class": "genres",
    },
    "events": {"rating": "value", "review": "text"},
}
_OF_EVENTS = ("user_id", "item_id", "value", "timestamp", "text")
_NUMBERS = frozenset({"age", "year"})
_NO_GENRE = "unknown"


def recbole_source(name: str, opener: Opener) -> Source:
    """One atomic file, its kind told by its suffix.

    Raises:
        ImportRefused: Its first line is no header, or has no id.
    """
    kind = SUFFIXES[PurePath(name).suffix]
    fields = _header(name, kind, opener)
    return Source(kind, name, lambda: _rows(name, kind, fields, opener))


def _header(name: str, kind: Kind, opener: Opener) -> list[tuple[str, str]]:
    first = next(lines(name, opener), (1, ""))[1]
    pairs = [column.partition(":")[::2] for column in first.split("\t")]
    fields = [(_NAMES[kind].get(column, column), form) for column, form in pairs]
    needed = {"users": {"user_id"}, "items": {"item_id", "title"}, "events": {"user_id", "item_id"}}[kind]
    missing = sorted(needed - {column for column, _ in fields})
    if missing or not all(form in _FORMS for _, form in fields):
        raise ImportRefused(
            f"{name}: the first line does not name {', '.join(missing) or 'the types of all columns'}: {first[:200]!r}",
            hint="an atomic file begins with a line such as user_id:token<TAB>item_id:token<TAB>rating:float",
        )
    return fields


def _rows(name: str, kind: Kind, fields: list[tuple[str, str]], opener: Opener) -> Iterator[Row]:
    following = lines(name, opener)
    next(following)
    for line, text in following:
        cells = text.split("\t")
        if len(cells) != len(fields):
            yield line, BadRow("row", text, f"has {len(cells)} cells where the header has {len(fields)}")
        else:
            row = {column: _value(column, form, cell) for (column, form), cell in zip(fields, cells, strict=True)}
            yield line, _item(row) if kind == "items" else _kept(row) if kind == "events" else row


def _value(column: str, form: str, cell: str) -> object:
    if not cell:
        return None
    if column in ("title", "description", "text"):
        return cell
    if column in _NUMBERS:
        return int(cell) if cell.isdecimal() else None
    return _FORMS[form](cell)


def _number(cell: str) -> object:
    try:
        return float(cell)
    except ValueError:
        # Left as it is: what is made of the row says which value is wrong.
        return cell


_FORMS: Mapping[str, Callable[[str], object]] = {
    "token": str,
    "float": _number,
    "token_seq": lambda cell: tuple(cell.split()),
    "float_seq": lambda cell: tuple(cell.split()),
}


def _kept(row: dict[str, object]) -> dict[str, object]:
    return {column: row[column] for column in _OF_EVENTS if column in row}


def _item(row: dict[str, object]) -> dict[str, object]:
    title, genres = row["title"], row.get("genres")
    if isinstance(title, str):
        row["title"], year = title_and_year(title)
        row.setdefault("year", year)
    if isinstance(genres, tuple):
        row["genres"] = tuple(genre for genre in genres if genre != _NO_GENRE) or None
    return row
