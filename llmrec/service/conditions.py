"""Conditions as they are written on the command line: `--where genres=Comedy --where 'year>=1990'`."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import llmrec
from llmrec.errors import ConfigError
from llmrec.requests import conditions

__all__ = ["where_of", "why_empty"]

_SHOWN_VALUES = 8
_CONDITION = re.compile(r"([^!<>=]+)(!=|>=|<=|=)(.*)", re.DOTALL)
_VALUES = {"=": "any", "!=": "not"}
_BOUNDS = {">=": "min", "<=": "max"}


def where_of(given: Sequence[str]) -> dict[str, dict[str, object]]:
    """Conditions: values of one name are alternatives; what reads as a number or a truth value also matches those."""
    wanted: dict[str, dict[str, Any]] = {}
    for one in given:
        found = _CONDITION.fullmatch(one)
        if found is None:
            raise ConfigError(
                f"{one!r} is not NAME=VALUE", hint="write it like genres=Comedy, genres!=War or year>=1990"
            )
        name, sign, value = found.groups()
        conditions = wanted.setdefault(name, {})
        if sign in _VALUES:
            conditions.setdefault(_VALUES[sign], []).extend([value, *_typed(value)])
        else:
            conditions[_BOUNDS[sign]] = (_typed(value) or [value])[0]
    return dict(wanted)


def why_empty(rec: llmrec.Recommender, where: Mapping[str, Mapping[str, Any]]) -> str:
    """What left no item to recommend."""
    catalogue, wanted = rec.catalogue(), conditions(where) or {}
    if catalogue.matching(wanted):
        fitting = " that fits --where" if where else ""
        return f"every item{fitting} was seen or hidden (--seen includes them)."
    alone = next((name for name in wanted if not catalogue.matching({name: wanted[name]})), None)
    if alone is None:
        return "no item fits all of --where together."
    given = [item.attributes[alone] for item in catalogue.items.values() if alone in item.attributes]
    values = Counter(text for value in given for text in _texts(value)).most_common(_SHOWN_VALUES + 1)
    shown = ", ".join("…" if place == _SHOWN_VALUES else text for place, (text, _) in enumerate(values))
    return f"no item fits --where {_said(alone, where[alone])}. Frequent values of {alone}: {shown}"


def _said(name: str, conditions: Mapping[str, Any]) -> str:
    """A condition as it was given."""
    signs = {word: sign for sign, word in (_VALUES | _BOUNDS).items()}
    word, value = next(iter(conditions.items()))
    return f"{name}{signs[word]}{value[0] if isinstance(value, list) else value}"


def _texts(value: object) -> list[str]:
    return [str(one) for one in value] if isinstance(value, tuple) else [str(value)]


def _typed(value: str) -> list[object]:
    if value.lower() in ("true", "false"):
        return [value.lower() == "true"]
    try:
        return [float(value)]
    except ValueError:
        return []
