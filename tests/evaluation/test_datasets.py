"""Data sets from files and folders: interactions, texts and groups that belong together."""

from pathlib import Path

import pytest

from llmrec import Recommender
from llmrec.errors import DataError
from llmrec.evaluation import data_from_files, data_from_folder, data_from_store
from tests.evaluation.worlds import lists_of


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "sequences.tsv").write_text("user_id\titem_ids\nbob\tpan rake\nann\trake\n")
    (tmp_path / "items.tsv").write_text(
        "item_id\ttitle\ttags\nrake\tLeaf rake\tgarden|home\npan\tFrying pan\tkitchen\n"
    )
    (tmp_path / "users.tsv").write_text("user_id\tplace\nann\tOslo\nbob\tRome\n")
    return tmp_path


def test_a_folder_of_sequences_has_texts_as_items_have_them_and_groups(folder: Path) -> None:
    data = data_from_folder("shop", folder)
    assert data.texts == ["Leaf rake. tags: garden, home", "Frying pan. tags: kitchen"]
    assert lists_of(data.interactions.sequences, data.interactions) == ["pan rake", "rake"]
    assert data.groups == {"place": {"ann": "Oslo", "bob": "Rome"}}
    assert [path.name for path in data.files] == ["sequences.tsv", "items.tsv", "users.tsv"]


@pytest.mark.parametrize("missing", ["sequences.tsv", "items.tsv"])
def test_a_file_that_is_missing_is_named(folder: Path, missing: str) -> None:
    (folder / "users.tsv").unlink()
    (folder / missing).unlink()
    with pytest.raises(DataError, match=missing):
        data_from_folder("shop", folder)


def test_the_core_keeps_each_text_with_its_item(tmp_path: Path) -> None:
    events, items = tmp_path / "events.csv", tmp_path / "items.csv"
    events.write_text("user_id,item_id,kind\nann,pan,view\nann,rake,view\nbob,rake,view\nbob,pan,view\nbob,pot,view\n")
    items.write_text("item_id,title\npot,Soup pot\npan,Frying pan\nrake,Leaf rake\n")
    data = data_from_files("shop", events, items, core=2)
    assert data.interactions.item_ids == ("pan", "rake")
    assert data.texts == ["Frying pan", "Leaf rake"]


def test_what_was_refused_is_no_event_and_without_items_there_are_no_texts(tmp_path: Path) -> None:
    events = tmp_path / "events.csv"
    events.write_text("user_id,item_id,kind\nann,pan,view\nann,rake,dislike\n")
    data = data_from_files("shop", events)
    assert data.interactions.item_ids == ("pan",)
    assert data.texts is None


def test_a_store_is_read_as_a_fit_reads_it(shop: Recommender) -> None:
    data = data_from_store("shop", shop.store)
    assert data.texts == [item.text for item in shop.items()]
    assert lists_of(data.interactions.sequences, data.interactions)[0] == "rake spade hose"
    assert data.groups == {"age": {"ann": 31, "bob": 52}}
