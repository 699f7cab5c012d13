from __future__ import annotations

from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal

import pytest

from llmrec.data.cells import attribute_of, id_of, number_of, text_of, time_of
from llmrec.data.sources import BadRow

NOON = datetime(2024, 5, 1, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    "written",
    [
        "2024-05-01T12:00:00Z",
        "2024-05-01T14:00:00+02:00",
        "2024-05-01 12:00:00",
        "2024-05-01T12:00",
        " 1714564800 ",
        "1714564800.0",
        1714564800,
        1714564800.0,
        Decimal(1714564800),
        NOON,
        datetime(2024, 5, 1, 12),
        datetime(2024, 5, 1, 7, tzinfo=timezone(timedelta(hours=-5))),
    ],
)
def test_a_time_may_be_written_in_many_ways(written: object) -> None:
    found = time_of("timestamp", written)
    assert found == NOON
    assert found is not None
    assert found.tzinfo is UTC


def test_a_day_is_its_midnight_in_utc() -> None:
    assert time_of("timestamp", date(2024, 5, 1)) == time_of("timestamp", "2024-05-01") == NOON - timedelta(hours=12)


def test_fractions_of_a_second_are_kept() -> None:
    assert time_of("timestamp", "2024-05-01T12:00:00.000001Z") == NOON + timedelta(microseconds=1)


@pytest.mark.parametrize(
    ("written", "reason"),
    [
        ("1714564800000", "milliseconds"),
        (1714564800000, "milliseconds"),
        ("20240501", "2024-01-31"),
        ("yesterday", "2024-01-31T18:30:00Z"),
        ("2024-13-01", "is not a time"),
        ("01/05/2024", "is not a time"),
        (float("nan"), "seconds since 1970"),
        ("nan", "seconds since 1970"),
        ("-inf", "seconds since 1970"),
        (-1e30, "seconds since 1970"),
        (True, "is not a time"),
        (["2024"], "is not a time"),
        ("9999-12-31T23:59:59-05:00", "no time that UTC can tell"),
    ],
)
def test_what_is_no_time_is_refused_with_a_way_out(written: object, reason: str) -> None:
    with pytest.raises(BadRow) as caught:
        time_of("timestamp", written)
    assert reason in caught.value.reason
    assert caught.value.field == "timestamp"


@pytest.mark.parametrize("empty", [None, "", "  "])
def test_an_empty_cell_is_missing(empty: str | None) -> None:
    assert text_of("title", empty) is None
    assert number_of("value", empty) is None
    assert time_of("timestamp", empty) is None
    assert attribute_of("color", empty, typed=False) is None


@pytest.mark.parametrize(("written", "item_id"), [("007", "007"), (42, "42"), (42.0, "42"), ("", None), (None, None)])
def test_ids_are_text_whatever_the_table_made_of_them(written: object, item_id: str | None) -> None:
    assert id_of("item_id", written) == item_id


@pytest.mark.parametrize("written", [4.5, True, float("nan"), ["a"], b"a"])
def test_what_is_no_id_is_refused(written: object) -> None:
    with pytest.raises(BadRow, match="not an id"):
        id_of("item_id", written)


@pytest.mark.parametrize("written", ["many", "1_000", "4,5", True, ["4"], "0x10", 10**400])
def test_what_is_no_number_is_refused(written: object) -> None:
    with pytest.raises(BadRow, match="is not a number"):
        number_of("value", written)


def test_numbers_are_read_from_text() -> None:
    assert [number_of("value", written) for written in (" 4.5 ", "1e3", 4, Decimal("0.5"))] == [4.5, 1000.0, 4.0, 0.5]


@pytest.mark.parametrize(
    ("cell", "value"),
    [
        ("12", 12),
        ("-3", -3),
        ("4.50", 4.5),
        ("true", True),
        ("FALSE", False),
        ("red | blue|", ("red", "blue")),
        ("|", ()),
        ("02139", "02139"),
        ("1e5", "1e5"),
        ("nan", "nan"),
        ("12345678901234567890", "12345678901234567890"),
        ("Bath, England", "Bath, England"),
    ],
)
def test_an_attribute_in_a_cell_is_read_as_what_it_looks_like(cell: str, value: object) -> None:
    found = attribute_of("color", cell, typed=False)
    assert found == value
    assert type(found) is type(value)


def test_an_attribute_of_a_typed_table_stays_what_it_is() -> None:
    values = ["12", "red|blue", 12, 4.5, True, None]
    assert [attribute_of("color", value, typed=True) for value in values] == values
    assert attribute_of("color", ["red", 7, None], typed=True) == ("red", "7")
    assert attribute_of("made", date(2024, 5, 1), typed=True) == "2024-05-01"
    assert attribute_of("price", Decimal("9.90"), typed=True) == 9.9
