"""Single values of a row: ids, numbers, times, attributes. Each function takes what a file or a table may hold.

A missing value is None, an empty cell, or whatever the source's own reader has already turned into None.
"""

from __future__ import annotations

import re
from datetime import UTC, date, datetime, time
from decimal import Decimal
from typing import Any

from llmrec.data.sources import BadRow
from llmrec.records import AttributeValue

__all__ = ["attribute_of", "id_of", "number_of", "text_of", "time_of"]

# Canonical numbers only: '02139' is a postal code and '1e5' may be anybody's id.
_NUMBER = re.compile(r"-?(0|[1-9]\d{0,14})(\.\d{1,15})?")
_WHOLE = re.compile(r"-?\d+")
_BOOLEANS = {"true": True, "false": False}
# Seconds of the year 5138; milliseconds since 1973 are more.
_TOO_LATE = 1e11
# Whole numbers beyond this do not fit into 64 bits, and those beyond a float's range into nothing.
_TOO_LARGE = 1 << 63


def id_of(field: str, value: object) -> str | None:
    """An id; whole numbers become strings, since tables often hold ids as numbers."""
    if value is None or value == "":
        return None
    if isinstance(value, str):
        return value
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    raise BadRow(field, value, "is not an id; give a string or a whole number")


def text_of(field: str, value: object) -> str | None:
    """A text; numbers become their digits, and nothing but blanks is nothing."""
    if value is None or isinstance(value, str):
        return value if value and value.strip() else None
    if isinstance(value, int | float) and not isinstance(value, bool):
        return str(value)
    raise BadRow(field, value, "is not a text")


def number_of(field: str, value: object) -> float | None:
    """A number; text is read as one."""
    if value is None or (isinstance(value, str) and not value.strip()):
        return None
    if isinstance(value, bool) or not isinstance(value, str | int | float | Decimal) or "_" in str(value):
        raise BadRow(field, value, "is not a number")
    try:
        return float(value)
    except (ValueError, OverflowError):
        raise BadRow(field, value, "is not a number") from None


def time_of(field: str, value: object) -> datetime | None:
    """A time: an ISO 8601 text (UTC where it has no zone), seconds since 1970, or a datetime."""
    if value is None or (isinstance(value, str) and not value.strip()):
        return None
    if isinstance(value, str):
        return _time_of_text(field, value.strip())
    if isinstance(value, datetime):
        # Rebuilt, because a table's own subclass may carry nanoseconds and other arithmetic.
        return _in_utc(field, datetime.combine(value.date(), value.timetz()))
    if isinstance(value, date):
        return datetime.combine(value, time(), UTC)
    if isinstance(value, int | float | Decimal) and not isinstance(value, bool):
        return _time_of_seconds(field, value, float(value))
    raise BadRow(field, value, "is not a time")


def attribute_of(field: str, value: object, *, typed: bool) -> Any:
    """An attribute; from an untyped cell, numbers, true and false, and lists separated by | are read out."""
    if isinstance(value, str):
        return value if typed else _attribute_of_cell(value)
    if isinstance(value, list | tuple):
        return tuple(text for part in value if (text := text_of(field, part)) is not None)
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, int | Decimal) and not -_TOO_LARGE < value < _TOO_LARGE:
        raise BadRow(field, value, "is too large a number; give it as text")
    return float(value) if isinstance(value, Decimal) else value


def _attribute_of_cell(cell: str) -> AttributeValue | None:
    if not cell.strip():
        return None
    if "|" in cell:
        return tuple(part.strip() for part in cell.split("|") if part.strip())
    if _NUMBER.fullmatch(cell):
        return float(cell) if "." in cell else int(cell)
    return _BOOLEANS.get(cell.lower(), cell)


def _time_of_text(field: str, text: str) -> datetime:
    if _WHOLE.fullmatch(text) and _is_calendar_day(text):
        raise BadRow(field, text, "may be a day or seconds since 1970; write a day as 2024-01-31")
    try:
        seconds = float(text)
    except ValueError:
        pass
    else:
        return _time_of_seconds(field, text, seconds)
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise BadRow(field, text, "is not a time; write 2024-01-31T18:30:00Z, or seconds since 1970") from None
    return _in_utc(field, moment)


def _time_of_seconds(field: str, value: object, seconds: float) -> datetime:
    if seconds > _TOO_LATE:
        raise BadRow(field, value, "is too late for seconds since 1970; milliseconds must be divided by 1000")
    try:
        return datetime.fromtimestamp(seconds, UTC)
    except (ValueError, OverflowError, OSError):
        raise BadRow(field, value, "is not a time in seconds since 1970") from None


def _in_utc(field: str, moment: datetime) -> datetime:
    try:
        return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
    except OverflowError:
        raise BadRow(field, moment, "is no time that UTC can tell") from None


def _is_calendar_day(digits: str) -> bool:
    if len(digits) != 8 or not "1990" <= digits < "2100":
        return False
    try:
        date.fromisoformat(digits)
    except ValueError:
        return False
    return True
