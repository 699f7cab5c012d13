from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from llmrec.data import DATASETS, datasets, detect, fetch_dataset, read
from llmrec.errors import ImportRefused, SourceError

Write = Callable[[str, str | bytes], Path]


def test_formats_are_known_by_suffix() -> None:
    names = ["a.csv", "a.tsv.gz", "a.jsonl", "a.ndjson.gz", "A.PARQUET", "a.inter", "a.txt", "a"]
    expected = ["csv", "tsv", "jsonl", "jsonl", "parquet", "recbole", None, None]
    assert [detect(name) for name in names] == expected


def test_what_is_not_there_or_no_data_set_is_refused(tmp_path: Path, write: Write) -> None:
    with pytest.raises(ImportRefused, match="there is no file") as caught:
        read(tmp_path / "missing.csv", "users")
    assert caught.value.hint == "check the path"
    with pytest.raises(ImportRefused, match="there is no file"):
        read(tmp_path / "missing.zip", "users")
    write("notes/letter.txt", "dear")
    assert detect(tmp_path / "notes") is None
    with pytest.raises(ImportRefused, match="no data set that is known") as caught:
        read(tmp_path / "notes", "users")
    assert "ratings.csv" in caught.value.hint
    with pytest.raises(ImportRefused, match="known as recbole"):
        read(tmp_path / "notes", "users", format="recbole")


def test_a_broken_zip_is_refused(write: Write) -> None:
    path = write("data.zip", b"PK\x03\x04 and then nothing")
    with pytest.raises(ImportRefused, match="cannot be read"):
        read(path, "events")


def test_nowhere_holds_nothing() -> None:
    assert read(None, "users") == ()


@pytest.mark.parametrize("data", [None, [], [{"user_id": "ada"}]])
def test_options_that_mean_nothing_are_refused_whatever_is_read(data: object) -> None:
    with pytest.raises(ImportRefused, match="no format 'xyz'") as caught:
        read(data, "users", format="xyz")
    assert "parquet" in caught.value.hint
    for rename in ("x", ["x"], {"x": 1}, {1: "x"}):
        with pytest.raises(ImportRefused, match=r"rename = .* does not map names to names"):
            read(data, "users", rename=rename)  # type: ignore[arg-type]


def test_a_name_without_a_known_suffix_needs_a_format(write: Write) -> None:
    path = write("people.txt", "user_id\nada\n")
    with pytest.raises(ImportRefused, match="cannot be told"):
        read(path, "users")
    assert read(path, "users", format="csv")[0].columns == ("user_id",)


def test_a_named_data_set_is_fetched_and_a_path_is_taken_as_it_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = []

    def fetch(*arguments: object) -> Path:
        calls.append(arguments)
        return tmp_path

    monkeypatch.setattr(datasets, "fetch_wheel_files", fetch)
    dataset = DATASETS["ml-100k"]
    assert fetch_dataset("ml-100k") == tmp_path / "recbole/dataset_example/ml-100k"
    assert calls == [("recbole", "1.2.1", dataset.sha256, dataset.members)]
    assert dataset.members[0] == "recbole/dataset_example/ml-100k/ml-100k.inter"
    assert fetch_dataset(tmp_path) == tmp_path
    with pytest.raises(SourceError, match="no data set 'ml-10k'") as caught:
        fetch_dataset("ml-10k")
    assert caught.value.hint == "did you mean ml-100k?"


def test_importing_the_package_loads_no_table_library_and_no_model() -> None:
    heavy = ("torch", "pandas", "polars", "pyarrow", "psycopg")
    code = f"import sys, llmrec.data; print([name for name in {heavy} if name in sys.modules])"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"
