"""What a caller may ask, checked and made plain at the door, so that no later stage checks again."""

from __future__ import annotations

import math
import operator
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from numbers import Real
from typing import Any

from llmrec.conditions import Condition
from llmrec.errors import ConfigError, DataError
from llmrec.records import AttributeValue, Event, User, checked_attributes

__all__ = ["Request", "candidates_of", "conditions", "events_of", "how_many", "item_ids_of", "situation", "user_id_of"]

_MOST = 1_000
_ONE = (str, int, float, bool)
_WORDS = {"any", "not", "min", "max"}


@dataclass(frozen=True, slots=True)
class Request:
    """What is asked of `recommend`, whose arguments these are, made plain."""

    n: int
    where: Mapping[str, Condition] | None
    context: Mapping[str, AttributeValue]
    exclude: frozenset[str]
    like: str | None
    diversity: float | None
    llm: bool | None
    filter_seen: bool | None

    @classmethod
    def of(
        cls,
        n: object,
        *,
        where: object,
        context: object,
        exclude: object,
        like: object,
        diversity: object,
        llm: bool | None,
        filter_seen: bool | None,
    ) -> Request:
        """What was asked, checked.

        Raises:
            ConfigError: n, where or diversity is none, or out of range.
            DataError: context, exclude or like is none.
        """
        return cls(
            n=how_many(n),
            where=conditions(where),
            context=situation(context),
            exclude=frozenset(item_ids_of(exclude, "exclude")),
            like=None if like is None else item_ids_of([like], "like")[0],
            diversity=variety(diversity),
            llm=llm,
            filter_seen=filter_seen,
        )


def user_id_of(user_id: object) -> str:
    """A user id; users need not be stored."""
    return User(user_id).user_id  # type: ignore[arg-type]


def how_many(n: Any) -> int:
    """A number of items.

    Raises:
        ConfigError: It is no whole number, or out of range.
    """
    try:
        number = operator.index(n) if not isinstance(n, bool) else 0
    except TypeError:
        number = 0
    if not 1 <= number <= _MOST:
        raise ConfigError(f"n = {n!r} is not a whole number from 1 to {_MOST}", hint="ask for 10, say")
    return number


def variety(diversity: object) -> float | None:
    """How much variety counts against relevance; None: as configured.

    Raises:
        ConfigError: It is no number from 0 to 1.
    """
    if diversity is None:
        return None
    number = -1.0 if isinstance(diversity, bool) or not isinstance(diversity, Real) else float(diversity)
    if not 0 <= number <= 1:
        raise ConfigError(
            f"diversity = {diversity!r} is not a number from 0 to 1",
            hint="0 keeps the order of the scores, 0.3 mixes in some variety, 1 looks at nothing else",
        )
    return number


def situation(context: object) -> Mapping[str, AttributeValue]:
    """The context of a request, such as {"season": "winter"}."""
    return checked_attributes({} if context is None else context, "context")


def conditions(where: object) -> dict[str, Condition] | None:
    """Conditions on attributes: each a value, or several of which any one is wanted, or what is not, or bounds.

    Raises:
        ConfigError: It is no mapping of such values.
    """
    if where is None:
        return None
    if not isinstance(where, Mapping):
        raise ConfigError(f"where = {where!r} is not a mapping", hint='write where={"room": "garden"}')
    return {str(name): _condition(name, value) for name, value in where.items()}


def item_ids_of(given: object, name: str) -> list[str]:
    """Item ids, in the order given.

    Raises:
        DataError: It is not several strings.
    """
    if isinstance(given, str | bytes) or not isinstance(given, Iterable):
        raise DataError(f"{name} = {given!r} is not a list of item ids", hint=f'write {name}=["42", "7"]')
    ids = list(given)
    for item_id in ids:
        if not isinstance(item_id, str):
            raise DataError(f"{name} holds {item_id!r}, which is no item id", hint="item ids are strings, such as '42'")
    return ids


def candidates_of(given: object) -> list[str]:
    """Item ids to order.

    Raises:
        DataError: It is not several strings, or one stands twice.
    """
    wanted = item_ids_of(given, "candidates")
    if len(set(wanted)) != len(wanted):
        raise DataError("a candidate stands twice", hint="give every candidate once")
    return wanted


def events_of(history: object, user_id: str | None) -> tuple[Event, ...]:
    """A history given as item ids or events, as events; what the user was only shown is left out.

    Raises:
        DataError: It is neither.
    """
    if isinstance(history, str | bytes) or not isinstance(history, Iterable):
        raise DataError(f"history = {history!r} is not a list", hint='write history=["42", "7"], newest last')
    who = user_id or "anonymous"
    events = [one if isinstance(one, Event) else Event(who, _item_id(one)) for one in history]
    return tuple(event for event in events if event.is_behaviour)


def _item_id(given: object) -> str:
    return item_ids_of([given], "history")[0]


def _condition(name: object, value: object) -> Condition:
    if isinstance(value, Condition):
        return value
    if not isinstance(value, Mapping):
        return Condition.of(_alternatives(name, value))
    unknown = set(value) - _WORDS
    if unknown or not value:
        raise ConfigError(
            f"where: {name} has {', '.join(sorted(map(repr, unknown))) or 'no condition'}",
            hint='write where={"year": {"min": 1990, "max": 1999}, "genres": {"any": ["Comedy"], "not": "War"}}',
        )
    least, most = (None if value.get(end) is None else _bound(name, value[end]) for end in ("min", "max"))
    wanted = _alternatives(name, value["any"]) if "any" in value else None
    return Condition.of(wanted, _alternatives(name, value["not"]) if "not" in value else (), least, most)


def _bound(name: object, value: Any) -> float:
    with suppress(ValueError, OverflowError):  # an array of several, an integer of hundreds of digits
        plain = value.item() if hasattr(value, "item") else value
        if isinstance(plain, int | float) and not isinstance(plain, bool) and math.isfinite(float(plain)):
            return plain
    raise ConfigError(f"where: {name} is bounded by what is no number", hint='write {"min": 1990}')


def _alternatives(name: object, value: Any) -> list[object]:
    plain = value.tolist() if hasattr(value, "tolist") else value  # numpy and pandas
    values = list(plain) if isinstance(plain, list | tuple | set | frozenset) else [plain]
    for one in values:
        if not isinstance(one, _ONE):
            raise ConfigError(
                f"where: {name} = {value!r} is neither a text, a number, a truth value nor a list of such",
                hint='write where={"room": ["garden", "terrace"]}',
            )
    return values
