"""The same interactions, wherever they were kept."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from llmrec.data import Store, import_records
from llmrec.errors import DataError, ImportRefused, UnknownItemError
from llmrec.evaluation import (
    interactions_from_events,
    interactions_from_files,
    interactions_from_sequences,
    interactions_from_store,
    read_items,
)
from llmrec.evaluation.interactions import NO_TIME
from llmrec.records import Event, Item
from tests.evaluation.worlds import at, lists_of

EVENTS = [
    Event("bob", "pan", "rating", 4.0, timestamp=at(2)),
    Event("ann", "rake", "view", timestamp=at(3)),
    Event("ann", "pan", "impression", timestamp=at(1)),
    Event("ann", "spade", "dislike", timestamp=at(1)),
    Event("ann", None, "search", text="a rake", timestamp=at(2)),
    Event("ann", "pan", "purchase", timestamp=at(2)),
]
ITEMS = [Item("spade", "Spade"), Item("rake", "Rake"), Item("pan", "Pan"), Item("pot", "Pot")]


def test_events_become_sequences_in_order_of_time() -> None:
    shop = interactions_from_events(EVENTS, [item.item_id for item in ITEMS])
    assert shop.item_ids == ("spade", "rake", "pan", "pot")
    assert dict(zip(shop.user_ids, lists_of(shop.sequences, shop), strict=True)) == {
        "bob": "pan",
        "ann": "spade pan rake",
    }


def test_kinds_values_and_times_stay_with_their_events() -> None:
    shop = interactions_from_events(EVENTS)
    parts = shop.sequences
    assert parts.kinds is not None
    assert parts.values is not None
    assert parts.times is not None
    assert [shop.kind_names[kind] for kind in parts.kinds] == ["rating", "dislike", "purchase", "view"]
    np.testing.assert_array_equal(parts.values, [4.0, np.nan, np.nan, np.nan])
    assert list(np.diff(parts.times[1:])) == [86_400_000_000, 86_400_000_000]
    assert parts.times[1] == at(1).timestamp() * 1_000_000


def test_negative_events_can_be_dropped() -> None:
    shop = interactions_from_events(EVENTS, negatives=False)
    assert shop.item_ids == ("pan", "rake")
    assert lists_of(shop.sequences, shop) == ["pan", "pan rake"]


def test_only_some_kinds_can_be_kept() -> None:
    shop = interactions_from_events(EVENTS, kinds={"rating", "view", "impression"})
    assert lists_of(shop.sequences, shop) == ["pan", "rake"]


def test_events_without_a_time_come_first_in_the_order_of_arrival() -> None:
    late = [Event("ann", "pan", timestamp=at(1)), Event("ann", "rake"), Event("ann", "spade")]
    shop = interactions_from_events(late)
    assert lists_of(shop.sequences, shop) == ["rake spade pan"]
    assert shop.sequences.times is not None
    assert list(shop.sequences.times[:2]) == [NO_TIME, NO_TIME]


def test_where_no_event_has_a_time_or_a_value_there_are_none() -> None:
    shop = interactions_from_events([Event("ann", "rake"), Event("ann", "pan")])
    assert shop.sequences.times is None
    assert shop.sequences.values is None
    assert lists_of(shop.sequences, shop) == ["rake pan"]


def test_without_a_catalogue_item_rows_do_not_depend_on_the_order_of_users() -> None:
    shop, other = interactions_from_events(EVENTS), interactions_from_events(EVENTS[::-1])
    assert shop.item_ids == other.item_ids == ("pan", "rake", "spade")


def test_an_item_that_is_not_in_the_catalogue_is_named() -> None:
    with pytest.raises(UnknownItemError, match="'rake'"):
        interactions_from_events([Event("ann", "rake")], ["pan"])


def test_no_events_are_no_users() -> None:
    shop = interactions_from_events([], ["pan"])
    assert shop.user_ids == ()
    assert shop.item_ids == ("pan",)
    assert list(shop.item_counts) == [0]


def test_a_store_gives_what_was_put_into_it(tmp_path: Path) -> None:
    with Store.open(f"sqlite:///{tmp_path / 'shop.db'}") as store:
        import_records(store, items=ITEMS, events=EVENTS)
        shop = interactions_from_store(store)
        without = interactions_from_store(store, negatives=False)
        rated = interactions_from_store(store, kinds={"rating"})
    assert shop.item_ids == tuple(item.item_id for item in ITEMS)
    assert shop.user_ids == ("ann", "bob")
    assert lists_of(shop.sequences, shop) == ["spade pan rake", "pan"]
    assert lists_of(without.sequences, without) == ["pan rake", "pan"]
    assert rated.user_ids == ("bob",)


def test_files_of_items_and_events_are_read(tmp_path: Path) -> None:
    items, events = tmp_path / "items.csv", tmp_path / "events.csv"
    items.write_text("item_id,title\nrake,Leaf rake\npan,Frying pan\n")
    events.write_text("who,item_id,rating,timestamp\nann,rake,5,1700000000\nann,pan,3,1600000000\n")
    shop = interactions_from_files(events, items, rename={"who": "user_id", "rating": "value"})
    assert lists_of(shop.sequences, shop) == ["pan rake"]
    assert shop.sequences.values is not None
    assert list(shop.sequences.values) == [3, 5]
    assert [item.title for item in read_items(items)] == ["Leaf rake", "Frying pan"]


def test_a_bad_row_is_shown_with_its_line(tmp_path: Path) -> None:
    events = tmp_path / "events.csv"
    events.write_text("user_id,item_id,value\nann,rake,5\nann,pan,many\n")
    with pytest.raises(ImportRefused, match=r"events\.csv:3: value") as refused:
        interactions_from_files(events)
    assert refused.value.rows[0].line == 3


def test_a_file_of_sequences_is_read(tmp_path: Path) -> None:
    sequences = tmp_path / "sequences.tsv"
    sequences.write_text("user_id\titem_ids\nbob\tpan rake\nann\trake\n")
    shop = interactions_from_sequences(sequences, ITEMS)
    assert shop.user_ids == ("bob", "ann")
    assert shop.item_ids == tuple(item.item_id for item in ITEMS)
    assert lists_of(shop.sequences, shop) == ["pan rake", "rake"]
    assert interactions_from_sequences(sequences).item_ids == ("pan", "rake")


@pytest.mark.parametrize(
    ("text", "complaint"),
    [("ann rake\n", "tsv:2: there is no tab"), ("ann\trake\nann\tpan\n", "tsv:3: user 'ann' stands in two lines")],
)
def test_a_line_that_is_no_sequence_is_named(tmp_path: Path, text: str, complaint: str) -> None:
    sequences = tmp_path / "sequences.tsv"
    sequences.write_text("user_id\titem_ids\n" + text)
    with pytest.raises(DataError, match=complaint):
        interactions_from_sequences(sequences)


def test_a_sequence_with_an_unknown_item_is_refused(tmp_path: Path) -> None:
    sequences = tmp_path / "sequences.tsv"
    sequences.write_text("user_id\titem_ids\nann\trake lamp\n")
    with pytest.raises(UnknownItemError, match="'lamp'"):
        interactions_from_sequences(sequences, ITEMS)


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"no file .*gone\.tsv"):
        interactions_from_sequences(tmp_path / "gone.tsv")


def test_an_item_stands_in_the_catalogue_once() -> None:
    with pytest.raises(DataError, match="item 'pan' stands twice"):
        interactions_from_events([], ["rake", "pan", "pan"])


def test_an_item_that_stands_twice_in_a_file_is_shown_with_both_lines(tmp_path: Path) -> None:
    items = tmp_path / "items.csv"
    items.write_text("item_id,title\nrake,Leaf rake\npan,Frying pan\nrake,Rake\n")
    with pytest.raises(ImportRefused, match=r"items\.csv:4: item_id = .*rake.*: stands in .*items\.csv:2 too"):
        read_items(items)


def test_the_order_of_lines_with_one_time_is_kept() -> None:
    same = [replace(Event("ann", item_id), timestamp=at(1)) for item_id in ("rake", "pan", "hose")]
    shop = interactions_from_events(same)
    assert lists_of(shop.sequences, shop) == ["rake pan hose"]
