"""MovieLens' formats on a few invented films: the published data may not be passed on."""

from __future__ import annotations

import zipfile
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path

import pytest

from llmrec.data import Store, detect, import_records, read
from llmrec.data.titles import title_and_year
from llmrec.errors import ImportRefused
from llmrec.records import Event, Item, User

FLAGS = "0|1|0|0|0|1|0|0|0|0|0|0|0|0|0|0|0|0|0"
NONE = "1" + "|0" * 18
ML_100K = {
    "u.user": "1|24|M|technician|85711\n2|53|F|other|T8H1N\n",
    "u.item": f"1|Caf\u00e9, The (1995)|01-Jan-1995||http://x|{FLAGS}\n2|unknown||||{NONE}\n",
    "u.data": "1\t1\t3\t881250949\n2\t2\t5\t881250950\n",
    "u.genre": "Action|1\n",
    "README": "read me",
}
ML_1M = {
    "users.dat": "1::F::1::10::48067\n2::M::56::16::70072-1234\n",
    "movies.dat": "1::Caf\u00e9, The (1995)::Action|Comedy\n2::Stra\u00dfe, Die (1926)::(no genres listed)\n",
    "ratings.dat": "1::1::3::978300760\n2::2::5::978300761\n",
}
ML_10M_TAGS = {"tags.dat": "1::1::so::so::978300770\n"}
ML_LATEST = {
    "ratings.csv": "userId,movieId,rating,timestamp\n1,1,3.5,978300760\n2,2,5.0,978300761\n",
    "movies.csv": 'movieId,title,genres\n1,"Caf\u00e9, The (1995)",Action|Comedy\n2,Babel (2006),(no genres listed)\n',
    "tags.csv": 'userId,movieId,tag,timestamp\n1,2,"quiet, slow",978300770\n',
    "links.csv": "movieId,imdbId,tmdbId\n1,1,1\n",
}


def folder(path: Path, files: Mapping[str, str], encoding: str) -> Path:
    path.mkdir()
    for name, text in files.items():
        (path / name).write_bytes(text.encode(encoding))
    return path


def zipped(path: Path, files: Mapping[str, str], encoding: str, inside: str) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        for name, text in files.items():
            archive.writestr(f"{inside}{name}", text.encode(encoding))
    return path


def imported(store: Store, path: Path) -> tuple[list[User], list[Item], list[Event]]:
    assert detect(path) == "movielens"
    import_records(store, users=path, items=path, events=path)
    users = list(store.users())
    return users, list(store.items()), [event for user in users for event in store.events(user.user_id)]


CAFE = Item("1", "The Caf\u00e9", "", {"year": 1995, "genres": ("Action", "Comedy")})


def at(seconds: int) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)


@pytest.mark.parametrize("inside", [None, "", "ml-100k/"])
def test_movielens_100k(sqlite_store: Store, tmp_path: Path, inside: str | None) -> None:
    path = (
        folder(tmp_path / "ml-100k", ML_100K, "latin-1")
        if inside is None
        else zipped(tmp_path / "ml-100k.zip", ML_100K, "latin-1", inside)
    )
    users, items, events = imported(sqlite_store, path)
    assert users[0] == User("1", {"age": 24, "gender": "M", "occupation": "technician", "zip_code": "85711"})
    assert items == [CAFE, Item("2", "unknown")]
    assert [(event.item_id, event.kind, event.value, event.timestamp) for event in events] == [
        ("1", "rating", 3.0, at(881250949)),
        ("2", "rating", 5.0, at(881250950)),
    ]


@pytest.mark.parametrize("encoding", ["latin-1", "utf-8"])
def test_movielens_1m(sqlite_store: Store, tmp_path: Path, encoding: str) -> None:
    users, items, events = imported(sqlite_store, zipped(tmp_path / "ml-1m.zip", ML_1M, encoding, "ml-1m/"))
    assert users == [
        User("1", {"age": "under 18", "gender": "F", "occupation": "K-12 student", "zip_code": "48067"}),
        User("2", {"age": "56+", "gender": "M", "occupation": "self-employed", "zip_code": "70072-1234"}),
    ]
    assert items == [CAFE, Item("2", "Die Stra\u00dfe", "", {"year": 1926})]
    assert [(event.item_id, event.value) for event in events] == [("1", 3.0), ("2", 5.0)]


def test_movielens_10m_has_no_users_but_tags(sqlite_store: Store, tmp_path: Path) -> None:
    files = {**{name: text for name, text in ML_1M.items() if name != "users.dat"}, **ML_10M_TAGS}
    users, _, events = imported(sqlite_store, folder(tmp_path / "ml-10M100K", files, "utf-8"))
    assert users == [User("1"), User("2")]
    assert [(event.kind, event.text) for event in events if event.kind == "tag"] == [("tag", "so::so")]


@pytest.mark.parametrize("lower", [False, True])
def test_movielens_latest_with_tags(sqlite_store: Store, tmp_path: Path, lower: bool) -> None:
    files = dict(ML_LATEST)
    if lower:
        files["ratings.csv"] = files["ratings.csv"].replace("userId,movieId", "userid,movieid")
    users, items, events = imported(sqlite_store, zipped(tmp_path / "ml-latest-small.zip", files, "utf-8", "ml/"))
    assert users == [User("1"), User("2")]
    assert items == [CAFE, Item("2", "Babel", "", {"year": 2006})]
    assert [(event.item_id, event.kind, event.value, event.text, event.timestamp) for event in events] == [
        ("1", "rating", 3.5, None, at(978300760)),
        ("2", "tag", None, "quiet, slow", at(978300770)),
        ("2", "rating", 5.0, None, at(978300761)),
    ]


def test_one_file_of_movielens_can_be_named(sqlite_store: Store, tmp_path: Path) -> None:
    path = folder(tmp_path / "ml", ML_LATEST, "utf-8")
    import_records(sqlite_store, items=path / "movies.csv", format="movielens")
    assert sqlite_store.item("1") == CAFE
    with pytest.raises(ImportRefused, match="holds events, not items"):
        read(path / "ratings.csv", "items", format="movielens")
    with pytest.raises(ImportRefused, match="no file of movielens"):
        read(path / "links.csv", "items", format="movielens")


def test_bad_rows_are_named_by_file_and_line(sqlite_store: Store, tmp_path: Path) -> None:
    files = {**ML_1M, "ratings.dat": "1::1::3::978300760\n2::2::5\n", "users.dat": "1::F::1::99::48067\nx::y\n"}
    path = folder(tmp_path / "ml-1m", files, "latin-1")
    with pytest.raises(ImportRefused) as caught:
        import_records(sqlite_store, users=path, items=path, events=path)
    assert [(Path(row.source).name, row.line, row.reason) for row in caught.value.rows] == [
        ("users.dat", 2, "has 2 parts instead of 5"),
        ("ratings.dat", 2, "has 3 parts instead of 4"),
    ]


@pytest.mark.parametrize(
    ("written", "title", "year"),
    [
        ("Usual Lamps, The (1995)", "The Usual Lamps", 1995),
        ("Lamps, The: Light (1996)", "The Lamps: Light", 1996),
        ("Island, A (1995)", "A Island", 1995),
        ("Citt\u00e0, La (City, The) (1980)", "La Citt\u00e0 (The City)", 1980),
        ("Orme, Le (Prints, The) (1975)", "Le Orme (The Prints)", 1975),
        ("Aurore, L' (1999)", "L'Aurore", 1999),
        ("Mattino, Il (1994)", "Il Mattino", 1994),
        ("Boot, Das (1981)", "Das Boot", 1981),
        ("Norte, El (1984)", "El Norte", 1984),
        ("Plain, the Hill and the River, The (1966)", "The Plain, the Hill and the River", 1966),
        ("Six (a.k.a. S6x) (1995)", "Six (a.k.a. S6x)", 1995),
        ("Me, Myself & You", "Me, Myself & You", None),
        ("Long Show (1971\u2013 )", "Long Show", 1971),
        ("2001 (1995) ", "2001", 1995),
        ("(1995)", "(1995)", 1995),
        ("Caf\u00e9, The", "The Caf\u00e9", None),
    ],
)
def test_titles_are_put_in_reading_order(written: str, title: str, year: int | None) -> None:
    assert title_and_year(written) == (title, year)
