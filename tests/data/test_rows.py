from __future__ import annotations

import pytest

from llmrec.data.rows import EventIds, check_columns, record_of
from llmrec.data.sources import Kind
from llmrec.errors import ImportRefused
from llmrec.records import Event, Item, User
from tests.data.worlds import at, click


def test_any_other_column_is_an_attribute() -> None:
    item = {"item_id": 7, "title": 1984, "description": None, "price": "9.5", "tags": "a|b", "empty": ""}
    assert record_of("items", item, typed=False) == Item("7", "1984", "", {"price": 9.5, "tags": ("a", "b")})
    assert record_of("users", {"user_id": "ada", "age": "36"}, typed=False) == User("ada", {"age": 36})


@pytest.mark.parametrize(
    ("kind", "columns", "parts"),
    [
        ("users", ["userId", "age"], ["needs user_id", "'userId', 'age'", "rename={'userId': 'user_id'}"]),
        ("items", ["item_id", "name"], ["needs title", "rename={'name': 'title'}"]),
        ("items", ["item_id", "description"], ["needs title", "columns found: 'item_id', 'description'"]),
        ("events", ["user_id", "item_id", "rating"], ["do not have: 'rating'", "rename={'rating': 'value'}"]),
        ("events", ["user", "item", "time"], ["needs user_id, item_id", "'user': 'user_id'", "'time': 'timestamp'"]),
        ("events", ["user_id", "item_id", "device"], ["do not have: 'device'", "rename or remove"]),
        ("events", [], ["columns found: none"]),
        ("users", ["user_id", "age", "age"], ["two columns are called age"]),
    ],
)
def test_wrong_columns_are_refused_with_what_may_be_meant(kind: Kind, columns: list[str], parts: list[str]) -> None:
    with pytest.raises(ImportRefused) as caught:
        check_columns(kind, "log.csv", columns)
    message = f"{caught.value} {caught.value.hint}"
    assert all(part in message for part in ["log.csv", *parts])


def test_events_need_no_item_where_they_have_text() -> None:
    check_columns("events", "log.csv", ["user_id", "text", "kind"])


def test_an_event_with_a_time_is_known_by_its_content() -> None:
    ids, again = EventIds(), EventIds()
    events = [click("ada", "maps"), click("ada", "maps", 1), click("bob", "maps"), click("ada", "bread")]
    found = [ids.of(event) for event in events]
    assert len(set(found)) == 4
    assert [again.of(event) for event in reversed(events)] == found[::-1]
    assert ids.of(click("ada", "maps")) == found[0]


def test_an_event_without_a_time_is_known_by_its_place_in_the_order() -> None:
    events = [Event("ada", "maps"), Event("ada", "maps"), Event("bob", "maps")]
    ids, again = EventIds(), EventIds()
    found = [ids.of(event) for event in events]
    assert len(set(found)) == 3
    # Events that have a time or an id of their own do not stand in that order.
    others = [click("bob", "maps"), Event("eve", "maps", event_id="e1")]
    assert [again.of(event) for event in (*others, *events)][2:] == found


def test_an_event_keeps_its_own_id() -> None:
    assert EventIds().of(Event("ada", "maps", event_id="e1", timestamp=at(0))) == "e1"
