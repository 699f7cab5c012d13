"""Rows to records: which columns each kind has, and how a row becomes a User, an Item or an Event."""

from __future__ import annotations

import difflib
import hashlib
import json
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from llmrec.data.cells import attribute_of, id_of, number_of, text_of, time_of
from llmrec.data.sources import BadRow, Kind, Record, RowContent, shown
from llmrec.errors import DataError, ImportRefused
from llmrec.records import Event, Item, User

__all__ = ["COLUMNS", "EventIds", "check_columns", "record_of"]

COLUMNS: Mapping[Kind, tuple[str, ...]] = {
    "users": ("user_id",),
    "items": ("item_id", "title", "description"),
    "events": ("user_id", "item_id", "kind", "value", "text", "timestamp", "event_id", "recommendation_id"),
}
_NEEDED: Mapping[Kind, tuple[str, ...]] = {
    "users": ("user_id",),
    "items": ("item_id", "title"),
    "events": ("user_id", "item_id"),
}
_RECORDS: Mapping[Kind, type[Record]] = {"users": User, "items": Item, "events": Event}
# Names that mean one of ours without looking like it.
_SYNONYMS = {
    "rating": "value",
    "score": "value",
    "stars": "value",
    "name": "title",
    "time": "timestamp",
    "date": "timestamp",
    "datetime": "timestamp",
    "action": "kind",
    "event": "kind",
    "type": "kind",
    "comment": "text",
    "review": "text",
    "query": "text",
    "product": "item_id",
    "customer": "user_id",
}


def check_columns(kind: Kind, name: str, columns: Sequence[object]) -> None:
    """Refuse a table whose columns cannot be users, items or events.

    Raises:
        ImportRefused: It lists what was found, what is needed, and which column may be meant.
    """
    named = [column for column in columns if isinstance(column, str)]
    if len(named) < len(columns):
        # Tables made of plain rows number their columns.
        found = ", ".join(shown(column) for column in columns if not isinstance(column, str))
        raise ImportRefused(
            f"{name}: columns without a name: {found}", hint=f"name the columns: {', '.join(COLUMNS[kind])}"
        )
    _check_names(kind, name, named)


def _check_names(kind: Kind, name: str, columns: Sequence[str]) -> None:
    doubled = sorted({column for column in columns if list(columns).count(column) > 1})
    if doubled:
        raise ImportRefused(f"{name}: two columns are called {', '.join(doubled)}", hint="rename one of them")
    needed = _NEEDED[kind]
    if kind == "events" and "text" in columns:
        needed = ("user_id",)
    missing = [column for column in needed if column not in columns]
    unknown = [column for column in columns if column not in COLUMNS[kind]]
    # Users and items take any other column as an attribute.
    if missing or (kind == "events" and unknown):
        raise _wrong_columns(kind, name, columns, missing, unknown)


def _wrong_columns(
    kind: Kind, name: str, found: Sequence[str], missing: list[str], unknown: list[str]
) -> ImportRefused:
    parts = [f"needs {', '.join(missing)}"] if missing else []
    if kind == "events" and unknown:
        parts.append(f"has columns that {kind} do not have: {', '.join(map(shown, unknown))}")
    wanted = missing if kind != "events" else [column for column in COLUMNS[kind] if column not in found]
    meant = {column: close for column in unknown if (close := _closest(column, wanted))}
    known = ", ".join(COLUMNS[kind]) + ("" if kind == "events" else ", any other = an attribute")
    options = " ".join(f"--rename {theirs}={ours}" for theirs, ours in meant.items())
    advice = f"rename the columns: {options} (rename={meant!r})" if meant else "rename or remove columns"
    return ImportRefused(
        f"{name}: {kind} {' and '.join(parts)}; columns found: {', '.join(map(shown, found)) or 'none'}",
        hint=f"{advice}. Columns of {kind}: {known}",
    )


def _closest(column: str, wanted: Sequence[str]) -> str | None:
    plain = {re.sub(r"[^a-z]", "", name): name for name in wanted}
    key = re.sub(r"[^a-z]", "", column.lower())
    if _SYNONYMS.get(key) in wanted:
        return _SYNONYMS[key]
    close = difflib.get_close_matches(key, plain, n=1, cutoff=0.7)
    return plain[close[0]] if close else None


def record_of(kind: Kind, content: RowContent, *, typed: bool) -> Record:
    """The record that a row holds.

    Raises:
        BadRow: A value cannot be used, or is missing.
    """
    if isinstance(content, BadRow):
        raise content
    if isinstance(content, User | Item | Event):
        return _expected(kind, content)
    try:
        return _MAKERS[kind](content, typed)
    except DataError as error:
        raise _blamed(error, content) from error


def _expected(kind: Kind, record: Record) -> Record:
    if not isinstance(record, _RECORDS[kind]):
        raise BadRow("row", record, f"is not one of {kind}")
    return record


def _user(row: Mapping[str, object], typed: bool) -> User:
    return User(_needed("user_id", id_of("user_id", row.get("user_id"))), _attributes("users", row, typed))


def _item(row: Mapping[str, object], typed: bool) -> Item:
    return Item(
        item_id=_needed("item_id", id_of("item_id", row.get("item_id"))),
        title=_needed("title", text_of("title", row.get("title"))),
        description=text_of("description", row.get("description")) or "",
        attributes=_attributes("items", row, typed),
    )


def _event(row: Mapping[str, object], _typed: bool) -> Event:
    for name in row:
        if name not in COLUMNS["events"]:
            raise BadRow(name, row[name], f"events have no such field; they have {', '.join(COLUMNS['events'])}")
    value = number_of("value", row.get("value"))
    item_id = id_of("item_id", row.get("item_id"))
    text = text_of("text", row.get("text"))
    if item_id is None and text is None:
        raise BadRow("item_id", None, "is missing")
    kind = text_of("kind", row.get("kind")) or ("view" if value is None else "rating")
    if kind == "rating" and value is None:
        raise BadRow("value", None, "is missing from a rating")
    return Event(
        user_id=_needed("user_id", id_of("user_id", row.get("user_id"))),
        item_id=item_id,
        kind=kind,
        value=value,
        text=text,
        timestamp=time_of("timestamp", row.get("timestamp")),
        event_id=id_of("event_id", row.get("event_id")),
        recommendation_id=id_of("recommendation_id", row.get("recommendation_id")),
    )


_MAKERS: Mapping[Kind, Callable[[Mapping[str, object], bool], Record]] = {
    "users": _user,
    "items": _item,
    "events": _event,
}


def _needed(field: str, value: str | None) -> str:
    if value is None:
        raise BadRow(field, None, "is missing")
    return value


def _attributes(kind: Kind, row: Mapping[str, object], typed: bool) -> dict[str, Any]:
    return {name: attribute_of(name, row[name], typed=typed) for name in row if name not in COLUMNS[kind]}


def _blamed(error: DataError, row: Mapping[str, object]) -> BadRow:
    # A record's message begins with the field and the value it is about.
    message = str(error)
    field = next((name for name in row if message.startswith((f"{name} = ", f"attribute {name!r} = "))), "row")
    reason = message.partition(f" = {row.get(field)!r} ")[2] or message
    return BadRow(field, row.get(field), f"{reason}; {error.hint}")


class EventIds:
    """Ids for events that bring none, made of their content, so that a repeated import adds nothing.

    An event with a time is known by its content alone. Without a time the same content may rightly come twice, so the
    id also covers every such row before it in this import: the same file again gives the same ids, and a file that
    has grown gives new ids for its new rows only.
    """

    def __init__(self) -> None:
        self._before = b""

    def of(self, event: Event) -> str:
        """The event's own id, or one made of its content."""
        if event.event_id is not None:
            return event.event_id
        moment = event.timestamp and event.timestamp.isoformat()
        content = json.dumps([event.user_id, event.item_id, event.kind, event.value, event.text, moment]).encode()
        if event.timestamp is not None:
            return hashlib.sha256(content).hexdigest()
        digest = hashlib.sha256(self._before + content)
        self._before = digest.digest()
        return digest.hexdigest()
