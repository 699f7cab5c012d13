"""What every record checks of its values: ids, texts, numbers, times, attributes."""

from __future__ import annotations

import math
from collections.abc import Mapping
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from types import MappingProxyType

from llmrec.errors import DataError

__all__ = [
    "AttributeValue",
    "checked_attributes",
    "checked_id",
    "checked_number",
    "checked_text",
    "checked_time",
    "in_words",
]

AttributeValue = str | int | float | bool | tuple[str, ...]

_MAX_ID = 256
_EARLIEST = datetime(1970, 1, 2, tzinfo=UTC)
_CLOCK_SKEW = timedelta(days=1)


def checked_id(value: object, name: str) -> str:
    """An id that any database and any terminal can hold.

    Raises:
        DataError: It is none.
    """
    if not isinstance(value, str):
        raise DataError(f"{name} = {value!r} is not a string", hint=f"give {name} as a string, such as '42'")
    if not value.strip() or len(value) > _MAX_ID or not value.isprintable():
        raise DataError(
            f"{name} = {value[:60]!r} is not a usable id",
            hint=f"ids are 1 to {_MAX_ID} printable characters, not all of them blanks",
        )
    return value


def checked_text(value: object, name: str) -> str:
    """A text that any database can hold.

    Raises:
        DataError: It is no string.
    """
    if not isinstance(value, str):
        raise DataError(f"{name} = {str(value)[:60]!r} is not text", hint=f"give {name} as a string")
    # NUL cannot be stored by PostgreSQL and lone surrogates by neither database: keep their place, not the character.
    return value.replace("\x00", "\ufffd").encode("utf-8", "replace").decode("utf-8")


def checked_number(value: object, name: str) -> float:
    """A finite number.

    Raises:
        DataError: It is none.
    """
    if isinstance(value, int | float) and not isinstance(value, bool):
        with suppress(OverflowError):
            number = float(value)
            if math.isfinite(number):
                return number
    # Python refuses to print integers of thousands of digits.
    shown = "an integer too large" if type(value) is int else repr(value)[:60]
    raise DataError(f"{name} = {shown} is not a finite number", hint=f"give {name} as a number, or leave it out")


def _checked_attribute(value: object, name: str) -> AttributeValue:
    if isinstance(value, bool):
        return value
    if isinstance(value, int | float):
        checked_number(value, name)
        return value
    if isinstance(value, list | tuple | set | frozenset):
        parts = [checked_text(part, name) for part in value]
        return tuple(sorted(parts) if isinstance(value, set | frozenset) else parts)
    return checked_text(value, name)


def checked_attributes(attributes: object, name: str = "attributes") -> Mapping[str, AttributeValue]:
    """Attributes made plain and read-only; those that are None are left out.

    Raises:
        DataError: It is no mapping from texts to texts, numbers, truth values or several texts.
    """
    if not isinstance(attributes, Mapping):
        raise DataError(f"{name} = {attributes!r} is not a mapping", hint=f"give {name} as a dict")
    pairs = {checked_text(key, "attribute name"): value for key, value in attributes.items() if value is not None}
    return MappingProxyType({key: _checked_attribute(value, f"attribute {key!r}") for key, value in pairs.items()})


def checked_time(value: object) -> datetime:
    """A time in UTC, neither absurdly old nor in the future.

    Raises:
        DataError: It is none.
    """
    if not isinstance(value, datetime) or value.tzinfo is None:
        raise DataError(
            f"timestamp = {value!r} is not an aware time",
            hint="give a datetime with a time zone, such as datetime.now(timezone.utc)",
        )
    if not _EARLIEST <= value <= datetime.now(UTC) + _CLOCK_SKEW:
        raise DataError(
            f"timestamp = {value.isoformat()} lies before 1970-01-02 or in the future",
            hint="check the unit (seconds, not milliseconds) and the time zone",
        )
    return value.astimezone(UTC)


def in_words(attributes: Mapping[str, AttributeValue]) -> str:
    """Attributes as a reader would note them down, such as ``year: 1995; genres: Comedy, Drama``."""
    return "; ".join(f"{name}: {_value_in_words(value)}" for name, value in attributes.items())


def _value_in_words(value: AttributeValue) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, tuple):
        return ", ".join(value)
    return f"{value:g}" if isinstance(value, float) else str(value)
