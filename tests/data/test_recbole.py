from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from llmrec.data import Store, detect, import_records, read
from llmrec.errors import ImportRefused
from llmrec.records import Item, User

Write = Callable[[str, str], Path]

FILES = {
    "shop/shop.user": "user_id:token\tage:token\tcity:token\n7\t36\t02139\n8\t\tBath\n",
    "shop/shop.item": "item_id:token\ttitle:token_seq\ttags:token_seq\tprice:float\n"
    '1\tSoup pot\tkitchen steel\t19.5\n2\t"Big" rake\t\t\n',
    "shop/shop.inter": "user_id:token\titem_id:token\trating:float\ttimestamp:float\tdevice:token\n"
    "7\t1\t4\t881250949\tphone\n8\t2\t5.0\t881250950.5\tdesk\n",
    "shop/shop.link": "item_id:token\tentity_id:token\n1\tm.1\n",
}


@pytest.fixture
def shop(write: Write) -> Path:
    for name, text in FILES.items():
        path = write(name, text)
    return path.parent


def test_a_folder_of_atomic_files(sqlite_store: Store, shop: Path) -> None:
    assert detect(shop) == "recbole"
    import_records(sqlite_store, users=shop, items=shop, events=shop)
    assert list(sqlite_store.users()) == [User("7", {"age": 36, "city": "02139"}), User("8", {"city": "Bath"})]
    assert list(sqlite_store.items()) == [
        Item("1", "Soup pot", "", {"tags": ("kitchen", "steel"), "price": 19.5}),
        Item("2", '"Big" rake'),
    ]
    assert [(event.kind, event.value) for event in sqlite_store.events("8")] == [("rating", 5.0)]


def test_single_atomic_files_are_known_by_their_suffix(sqlite_store: Store, shop: Path) -> None:
    assert detect(shop / "shop.inter") == "recbole"
    import_records(sqlite_store, items=shop / "shop.item", events=shop / "shop.inter")
    assert sqlite_store.counts()["events"] == 2
    with pytest.raises(ImportRefused, match="holds items, not events"):
        read(shop / "shop.item", "events")


def test_columns_of_films_get_their_usual_names(sqlite_store: Store, write: Write) -> None:
    text = (
        "item_id:token\tmovie_title:token_seq\trelease_year:token\tclass:token_seq\n"
        "1\tUsual Lamps, The\t1995\tCrime Sci-Fi\n2\tunkonwn\tunkonwn\tunknown\n3\tNorth\t\t\n"
    )
    import_records(sqlite_store, items=write("films.item", text))
    assert list(sqlite_store.items()) == [
        Item("1", "The Usual Lamps", "", {"year": 1995, "genres": ("Crime", "Sci-Fi")}),
        Item("2", "unkonwn"),
        Item("3", "North"),
    ]


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("a.inter", "", "does not name item_id, user_id"),
        ("a.inter", "user_id\titem_id\n", "types of all columns"),
        ("a.inter", "user_id:token\trating:float\n", "does not name item_id"),
        ("a.item", "item_id:token\tprice:float\n", "does not name title"),
        ("a.item", "\x89PNG\n\x00", "does not name item_id, title"),
    ],
)
def test_a_file_without_a_header_is_refused(write: Write, name: str, text: str, message: str) -> None:
    path = write(name, text)
    with pytest.raises(ImportRefused, match=message):
        read(path, "items" if name.endswith("item") else "events")


def test_bad_rows_are_named(sqlite_store: Store, write: Write) -> None:
    items = write("a.item", "item_id:token\ttitle:token\n1\tSoup pot\n")
    header = "user_id:token\titem_id:token\trating:float\ttimestamp:float\n"
    events = write("a.inter", f"{header}7\t1\t4\t881250949\n7\t1\tfour\t881250949\n7\t1\t4\n7\t1\t4\t881250949000\n")
    with pytest.raises(ImportRefused) as caught:
        import_records(sqlite_store, items=items, events=events)
    assert [(row.line, row.field) for row in caught.value.rows] == [(3, "value"), (4, "row"), (5, "timestamp")]


def test_two_files_of_one_kind_are_not_guessed_between(shop: Path, write: Write) -> None:
    write("shop/shop.test.inter", FILES["shop/shop.inter"])
    with pytest.raises(ImportRefused, match=r"shop.inter, shop.item, shop.test.inter"):
        read(shop, "events")
