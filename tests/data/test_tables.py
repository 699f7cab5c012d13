from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from llmrec.data import Store, import_records, read
from llmrec.errors import ImportRefused, MissingExtraError
from llmrec.records import Event, Item, User
from tests.data.worlds import COURSES, at

COLUMNS = {
    "user_id": [1, 2, 3],
    "item_id": ["maps", "bread", "maps"],
    "value": [4.0, None, 2.5],
    "timestamp": [at(0), at(1), None],
}


@pytest.fixture
def catalogue(sqlite_store: Store) -> Store:
    import_records(sqlite_store, items=COURSES)
    return sqlite_store


def imported(store: Store, events: object) -> list[tuple[str, str | None, str, float | None, datetime | None]]:
    import_records(store, events=events)
    return [
        (event.user_id, event.item_id, event.kind, event.value, event.timestamp)
        for user in store.users()
        for event in store.events(user.user_id)
    ]


EXPECTED = [
    ("1", "maps", "rating", 4.0, at(0)),
    ("2", "bread", "view", None, at(1)),
    ("3", "maps", "rating", 2.5, None),
]


@pytest.mark.parametrize(
    "make",
    [
        pd.DataFrame,
        lambda columns: pd.DataFrame(columns).astype({"user_id": "float64"}),
        lambda columns: pd.DataFrame(columns).astype({"value": "Float64", "user_id": "Int64", "item_id": "category"}),
        lambda columns: pd.DataFrame(columns).astype(object),
        pl.DataFrame,
        lambda columns: pl.DataFrame(columns).with_columns(pl.col("timestamp").dt.cast_time_unit("ns")),
        pa.table,
        lambda columns: pa.Table.from_pandas(pd.DataFrame(columns)),
        lambda columns: [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)],
    ],
    ids=["pandas", "float-ids", "nullable", "objects", "polars", "polars-ns", "pyarrow", "pyarrow-ns", "dicts"],
)
def test_a_table_of_any_kind_is_taken(catalogue: Store, make: Callable[[object], object]) -> None:
    assert imported(catalogue, make(COLUMNS)) == EXPECTED


def test_missing_times_and_lists_of_a_frame_are_understood(sqlite_store: Store) -> None:
    frame = pd.DataFrame(
        {
            "item_id": ["a", "b"],
            "title": ["Apples", "Beans"],
            "tags": [np.array(["red", "round"]), None],
            "price": [np.float32(1.5), np.nan],
            "since": [pd.Timestamp("2024-05-01 12:00:00.000000001"), pd.NaT],
            "organic": pd.array([True, None], dtype="boolean"),
        }
    )
    import_records(sqlite_store, items=frame)
    apples, beans = sqlite_store.items()
    since = "2024-05-01T12:00:00"
    assert apples.attributes["tags"] == ("red", "round")
    assert (apples.attributes["price"], apples.attributes["organic"]) == (1.5, True)
    assert str(apples.attributes["since"]).startswith(since)
    assert beans == Item("b", "Beans")


def test_nanoseconds_are_left_out_where_pandas_is_not_installed() -> None:
    code = (
        "import sys\n"
        "class NoPandas:\n"
        "    def find_spec(self, name, *_):\n"
        "        if name == 'pandas': raise ModuleNotFoundError(name)\n"
        "sys.meta_path.insert(0, NoPandas())\n"
        "import pyarrow as pa; from llmrec.data import read\n"
        "times = pa.array([1_714_564_800_000_000_001], pa.timestamp('ns', 'UTC'))\n"
        "(source,) = read(pa.table({'user_id': ['ada'], 'item_id': ['maps'], 'timestamp': times}), 'events')\n"
        "print([row['timestamp'].isoformat() for _, row in source.rows()])"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "['2024-05-01T12:00:00+00:00']"


def test_nan_is_missing_in_pandas_and_a_bad_value_elsewhere(catalogue: Store) -> None:
    columns = {"user_id": ["ada"], "item_id": ["maps"], "value": [float("nan")]}
    with pytest.raises(ImportRefused, match="value = nan"):
        import_records(catalogue, events=pl.DataFrame(columns))
    with pytest.raises(ImportRefused, match="value = nan"):
        import_records(catalogue, events=pa.table(columns))
    assert imported(catalogue, pd.DataFrame(columns)) == [("ada", "maps", "view", None, None)]


def test_rows_of_a_table_are_counted_from_one(catalogue: Store) -> None:
    frame = pl.DataFrame({"user_id": ["ada", "bob"], "item_id": ["maps", "sails"]})
    with pytest.raises(ImportRefused) as caught:
        import_records(catalogue, events=frame)
    assert [(row.line, row.value) for row in caught.value.rows] == [(2, "'sails'")]


@pytest.mark.parametrize("frame", [pd.DataFrame(COLUMNS), pl.DataFrame(COLUMNS), pa.table(COLUMNS)])
def test_wrong_columns_of_a_table_are_refused(catalogue: Store, frame: object) -> None:
    with pytest.raises(ImportRefused, match="needs title"):
        import_records(catalogue, items=frame)


@pytest.mark.parametrize(
    "data", [pd.DataFrame([[1, 2]]), [{1: 2}], pd.DataFrame([[1, 2]], columns=["user_id", 7]), [{("user", "id"): 2}]]
)
def test_columns_without_a_name_are_refused(data: object) -> None:
    for kind in ("users", "items", "events"):
        with pytest.raises(ImportRefused, match="columns without a name") as caught:
            read(data, kind)
        assert "user_id" in caught.value.hint or "item_id" in caught.value.hint


def test_a_late_row_with_a_key_that_is_no_name_is_a_bad_row(catalogue: Store) -> None:
    rows: list[object] = [{"item_id": str(number), "title": "A"} for number in range(150)]
    with pytest.raises(ImportRefused, match="attribute name") as caught:
        import_records(catalogue, items=[*rows, {"item_id": "late", "title": "A", 7: "x"}])
    assert [row.line for row in caught.value.rows] == [151]


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (pl.DataFrame(COLUMNS).lazy(), "cannot be read"),
        (pd.DataFrame([[1, 2]], columns=["user_id", "user_id"]), "cannot be read|two columns"),
        (7, "type int holds no rows"),
        ({"user_id": "ada"}, "type dict holds no rows"),
        (b"user_id", "type bytes holds no rows"),
    ],
)
def test_what_holds_no_rows_is_refused(data: object, message: str) -> None:
    with pytest.raises(ImportRefused, match=message):
        read(data, "users")


def test_parquet_is_read_in_batches(catalogue: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("llmrec.data.tables._BATCH", 2)
    path = tmp_path / "log.parquet"
    pd.DataFrame(COLUMNS).to_parquet(path)
    assert imported(catalogue, path) == EXPECTED


def test_parquet_keeps_lists_and_types(sqlite_store: Store, tmp_path: Path) -> None:
    table = pa.table({"item_id": [7], "title": ["Seven"], "tags": [["a", "b"]], "code": ["007"], "price": [1.5]})
    pq.write_table(table, tmp_path / "items.pq")
    import_records(sqlite_store, items=str(tmp_path / "items.pq"))
    assert list(sqlite_store.items()) == [Item("7", "Seven", "", {"tags": ("a", "b"), "code": "007", "price": 1.5})]


def test_a_damaged_parquet_file_is_refused(sqlite_store: Store, tmp_path: Path) -> None:
    path = tmp_path / "log.parquet"
    pd.DataFrame(COLUMNS).to_parquet(path)
    whole = path.read_bytes()
    for damaged in (b"", whole[:-20], whole[:40] + b"\xff" * 200 + whole[240:], b"user_id\nada\n"):
        path.write_bytes(damaged)
        with pytest.raises(ImportRefused, match="cannot be read"):
            import_records(sqlite_store, events=path)


def test_parquet_without_pyarrow_names_the_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "log.parquet").touch()
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(MissingExtraError) as caught:
        read(tmp_path / "log.parquet", "events")
    assert "llmrec[tables]" in caught.value.hint


def test_records_and_dicts_may_come_from_a_generator(catalogue: Store) -> None:
    rows = (row for row in [Event("ada", "maps", timestamp=at(0)), {"user_id": "bob", "item_id": "maps"}])
    assert [row[:2] for row in imported(catalogue, rows)] == [("ada", "maps"), ("bob", "maps")]


def test_no_rows_are_no_mistake(catalogue: Store) -> None:
    report = import_records(catalogue, users=[], items=iter(()), events=[])
    assert (report.users.added, report.items.added, report.events.added) == (0, 0, 0)


def test_times_of_a_table_without_a_zone_are_utc(catalogue: Store) -> None:
    frame = pd.DataFrame({"user_id": ["ada"], "item_id": ["maps"], "timestamp": [pd.Timestamp("2024-05-01 12:00")]})
    import_records(catalogue, users=[User("ada")], events=frame)
    assert catalogue.events("ada")[0].timestamp == datetime(2024, 5, 1, 12, tzinfo=UTC)
