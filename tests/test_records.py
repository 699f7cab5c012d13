"""Records are checked and made plain at the door."""

import dataclasses
import json
import math
from datetime import UTC, datetime, timedelta, timezone

import pytest

from llmrec import Event, History, Item, Recommendation, Trace, User, records
from llmrec.errors import ConfigError, DataError


def test_records_cannot_be_changed() -> None:
    item = Item("1", "Rake", attributes={"tags": ["a", "b"]})
    with pytest.raises(dataclasses.FrozenInstanceError):
        item.title = "Hoe"  # type: ignore[misc]
    with pytest.raises(TypeError):
        item.attributes["tags"] = ()  # type: ignore[index]
    assert item.attributes["tags"] == ("a", "b")


@pytest.mark.parametrize("item_id", ["", "   ", "a\nb", "x" * 257, "nul\x00", 42, None])
def test_an_unusable_id_is_refused(item_id: object) -> None:
    with pytest.raises(DataError, match="item_id"):
        Item(item_id, "Rake")  # type: ignore[arg-type]


def test_an_item_needs_a_title() -> None:
    with pytest.raises(DataError, match="no title"):
        Item("1", "  ")


def test_nul_and_lone_surrogates_are_replaced_not_refused() -> None:
    assert Item("1", "a\x00b\ud800c").title == "a\ufffdb?c"


@pytest.mark.parametrize("value", [math.nan, math.inf, "5", True, pytest.param(10**5000, id="huge")])
def test_a_value_that_is_no_finite_number_is_refused(value: object) -> None:
    with pytest.raises(DataError, match="value"):
        Event("u", "i", "rating", value=value)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "timestamp",
    [datetime(2024, 5, 1), datetime.now(UTC) + timedelta(days=2), datetime(1901, 1, 1, tzinfo=UTC), 1714521600],
)
def test_a_naive_absurd_or_untyped_time_is_refused(timestamp: object) -> None:
    with pytest.raises(DataError, match="timestamp"):
        Event("u", "i", timestamp=timestamp)  # type: ignore[arg-type]


def test_times_are_kept_in_utc() -> None:
    event = Event("u", "i", timestamp=datetime(2024, 5, 1, 12, tzinfo=timezone(timedelta(hours=2))))
    assert event.timestamp == datetime(2024, 5, 1, 10, tzinfo=UTC)
    assert event.timestamp.tzinfo is UTC


def test_an_event_needs_an_item_or_a_text() -> None:
    assert Event("u", kind="search", text="garden shoes").item_id is None
    with pytest.raises(DataError, match="neither"):
        Event("u", kind="search")


def test_a_rating_needs_a_value() -> None:
    with pytest.raises(DataError, match="rating"):
        Event("u", "i", "rating")


def test_an_attribute_is_text_a_number_a_truth_value_or_several_texts() -> None:
    item = Item("1", "Rake", attributes={"tags": {"b", "a"}, "price": 9, "none": None})
    assert dict(item.attributes) == {"tags": ("a", "b"), "price": 9}
    for wrong in ({"a", 1}, [1, 2], {"nested": "x"}, 10**400, object()):
        with pytest.raises(DataError, match="odd"):
            Item("1", "Rake", attributes={"odd": wrong})  # type: ignore[dict-item]


def test_an_item_reads_as_title_description_attributes() -> None:
    item = Item("1", "Rake", "Gathers leaves", {"price": 9.5, "tags": ("garden", "wood"), "new": True})
    assert item.text == "Rake. Gathers leaves. price: 9.5; tags: garden, wood; new: yes"


def test_a_history_without_an_event_keeps_the_rest() -> None:
    events = tuple(Event("u", item_id) for item_id in "abc")
    history = History(User("u"), events, frozenset("abc"))
    assert [event.item_id for event in history.without(events[1]).events] == ["a", "c"]
    assert history.known == 3


def test_every_record_has_usable_defaults() -> None:
    assert records.User("u") == records.User("u", {})
    assert Trace("history").to_dict()["history_trimmed"] is None


def test_a_ranked_item_tells_its_attributes_as_json() -> None:
    item = Item("1", "Rake", attributes={"tags": ("garden", "home"), "price": 9.5, "new": True})
    told = records.RankedItem(1, item, 0.5, {"retrieval": 0.5}, 0.1).to_dict()
    assert list(told) == ["rank", "item_id", "title", "attributes", "score", "probability", "parts"]
    assert told["attributes"] == {"tags": ["garden", "home"], "price": 9.5, "new": True}
    assert json.loads(json.dumps(told)) == told


def test_a_table_has_the_agreed_columns() -> None:
    item = records.RankedItem(1, Item("1", "Rake"), 0.5, {"retrieval": 0.5}, 0.1)
    answer = Recommendation("r", "u", "rank/0001", (item,), Trace("history"))
    for backend in ("pandas", "polars", "pyarrow"):
        frame = answer.to_frame(backend)
        names = frame.column_names if backend == "pyarrow" else list(frame.columns)
        assert names == ["user_id", "item_id", "score", "rank"]
    with pytest.raises(ConfigError, match="excel"):
        answer.to_frame("excel")
