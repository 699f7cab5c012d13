"""MovieLens as GroupLens publishes it: 100K (u.data), 1M and 10M (ratings.dat), 20M and later (ratings.csv).

Titles are put in reading order, their years and genres become attributes, tags become events of the kind "tag".
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from llmrec.data.sources import BadRow, Kind, Row, Source
from llmrec.data.textfiles import Opener, csv_table, lines
from llmrec.data.titles import title_and_year

__all__ = ["FILES", "MARKS", "movielens_source"]

_GENRES_100K = (
    "unknown",
    "Action",
    "Adventure",
    "Animation",
    "Children's",
    "Comedy",
    "Crime",
    "Documentary",
    "Drama",
    "Fantasy",
    "Film-Noir",
    "Horror",
    "Musical",
    "Mystery",
    "Romance",
    "Sci-Fi",
    "Thriller",
    "War",
    "Western",
)
_NO_GENRES = frozenset({"unknown", "(no genres listed)"})
_AGES_1M = {"1": "under 18", "18": "18-24", "25": "25-34", "35": "35-44", "45": "45-49", "50": "50-55", "56": "56+"}
_OCCUPATIONS_1M = (
    "other",
    "academic/educator",
    "artist",
    "clerical/admin",
    "college/grad student",
    "customer service",
    "doctor/health care",
    "executive/managerial",
    "farmer",
    "homemaker",
    "K-12 student",
    "lawyer",
    "programmer",
    "retired",
    "sales/marketing",
    "scientist",
    "self-employed",
    "technician/engineer",
    "tradesman/craftsman",
    "unemployed",
    "writer",
)

_Maker = Callable[[Sequence[str]], dict[str, Any]]


def movielens_source(name: str, file_name: str, opener: Opener) -> Source:
    """One of the FILES, as users, items or events."""
    kind, separator, width, maker = FILES[file_name]
    if separator == ",":
        return Source(kind, name, lambda: _csv_rows(name, opener, maker))
    return Source(kind, name, lambda: _split_rows(name, opener, separator, width, maker))


def _split_rows(name: str, opener: Opener, separator: str, width: int, maker: _Maker) -> Iterator[Row]:
    for line, text in lines(name, opener):
        cells = text.split(separator)
        if len(cells) < width:
            yield line, BadRow("row", text, f"has {len(cells)} parts instead of {width}")
        else:
            yield line, maker(cells)


def _csv_rows(name: str, opener: Opener, maker: _Maker) -> Iterator[Row]:
    # Copies of these files differ in the case of the column names; their order is always the same.
    for line, row in csv_table(name, opener).rows():
        yield line, maker([str(cell) for cell in row.values()]) if isinstance(row, Mapping) else row


def _user_100k(cells: Sequence[str]) -> dict[str, Any]:
    user_id, age, gender, occupation, postal_code = cells[:5]
    return {
        "user_id": user_id,
        "age": int(age) if age.isdecimal() else None,
        "gender": gender,
        "occupation": occupation,
        "zip_code": postal_code,
    }


def _user_1m(cells: Sequence[str]) -> dict[str, Any]:
    user_id, gender, age, occupation, postal_code = cells[:5]
    number = int(occupation) if occupation.isdecimal() else len(_OCCUPATIONS_1M)
    return {
        "user_id": user_id,
        "age": _AGES_1M.get(age, age),
        "gender": gender,
        "occupation": _OCCUPATIONS_1M[number] if number < len(_OCCUPATIONS_1M) else occupation,
        "zip_code": postal_code,
    }


def _item_100k(cells: Sequence[str]) -> dict[str, Any]:
    genres = [genre for genre, flag in zip(_GENRES_100K, cells[5:], strict=False) if flag == "1"]
    return _item(cells[0], cells[1], genres)


def _item_later(cells: Sequence[str]) -> dict[str, Any]:
    return _item(cells[0], cells[1], cells[2].split("|"))


def _item(item_id: str, written: str, genres: Sequence[str]) -> dict[str, Any]:
    title, year = title_and_year(written)
    known = tuple(genre for genre in genres if genre and genre not in _NO_GENRES)
    return {"item_id": item_id, "title": title, "year": year, "genres": known or None}


def _rating(cells: Sequence[str]) -> dict[str, Any]:
    return dict(zip(("user_id", "item_id", "value", "timestamp"), cells, strict=False))


def _tag(cells: Sequence[str]) -> dict[str, Any]:
    # A tag may hold the separator; the time is the last cell in any case.
    user_id, item_id, *tag, moment = cells
    return {"user_id": user_id, "item_id": item_id, "kind": "tag", "text": "::".join(tag), "timestamp": moment}


# File name: kind, separator, least number of cells, what makes a row of them.
FILES: Mapping[str, tuple[Kind, str, int, _Maker]] = {
    "u.user": ("users", "|", 5, _user_100k),
    "u.item": ("items", "|", 5 + len(_GENRES_100K), _item_100k),
    "u.data": ("events", "\t", 4, _rating),
    "users.dat": ("users", "::", 5, _user_1m),
    "movies.dat": ("items", "::", 3, _item_later),
    "ratings.dat": ("events", "::", 4, _rating),
    "tags.dat": ("events", "::", 4, _tag),
    "movies.csv": ("items", ",", 3, _item_later),
    "ratings.csv": ("events", ",", 4, _rating),
    "tags.csv": ("events", ",", 4, _tag),
}

# Two files that, side by side, are MovieLens.
MARKS = (
    frozenset({"u.data", "u.item"}),
    frozenset({"ratings.dat", "movies.dat"}),
    frozenset({"ratings.csv", "movies.csv"}),
)
