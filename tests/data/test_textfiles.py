from __future__ import annotations

import gzip
from collections.abc import Callable
from pathlib import Path

import pytest

from llmrec.data import Store, import_records, read
from llmrec.data.sources import BadRow
from llmrec.data.textfiles import lines
from llmrec.errors import ImportRefused
from llmrec.records import Item

Write = Callable[[str, str | bytes], Path]


def rows(path: Path, kind: str = "users", **options: str) -> list[tuple[int, object]]:
    """Line and content of each row; of a bad one, its reason."""
    (source,) = read(path, kind, **options)
    return [(line, content.reason if isinstance(content, BadRow) else content) for line, content in source.rows()]


def test_csv_rows_have_the_line_numbers_an_editor_shows(write: Write) -> None:
    path = write("u.csv", 'user_id,note\nada,"two\nlines"\n\nbob,x\n')
    assert rows(path) == [(2, {"user_id": "ada", "note": "two\nlines"}), (5, {"user_id": "bob", "note": "x"})]


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("a.csv", "\ufeffuser_id,city\r\nada,Bath\r\n"),
        ("a.csv", "user_id;city\nada;Bath\n"),
        ("a.csv", "user_id, city\nada, Bath"),
        ("a.csv", "user_id\tcity\nada\tBath\n"),
        ("a.tsv", 'user_id\tcity\n"ada"\tBath\n'),
        ("a.jsonl", '{"user_id": "ada", "city": "Bath"}\n\n'),
        ("a.ndjson", '\ufeff{"user_id": "ada", "city": "Bath"}'),
        ("A.CSV", "user_id,city\nada,Bath\n"),
    ],
)
def test_the_usual_dialects_are_understood(write: Write, name: str, text: str) -> None:
    expected = [{"user_id": "ada", "city": "Bath"}]
    assert [content for _, content in rows(write(name, text))] == expected
    compressed = write(f"{name}.gz", gzip.compress(text.encode()))
    assert [content for _, content in rows(compressed)] == expected


def test_quotes_in_tab_separated_titles_are_kept(write: Write) -> None:
    path = write("i.tsv", 'item_id\ttitle\n1\t"Soup" and bread\n2\t"""Soup"""\n3\t5" pipe\n4\t"Soup" tin"\n5\t"\n')
    titles = [content["title"] for _, content in rows(path, "items") if isinstance(content, dict)]
    assert titles == ['"Soup" and bread', '"Soup"', '5" pipe', '"Soup" tin"', '"']


@pytest.mark.parametrize(
    ("name", "content", "line", "reason"),
    [
        ("a.csv", b"user_id,city\nada,Bath\nbob\n", 3, "has 1 cells where the header has 2"),
        ("a.csv", b"user_id,city\nada,Bath,x\n", 2, "has 3 cells where the header has 2"),
        ("a.csv", b"user_id,city\nada,Z\xfcrich\n", 2, "is not UTF-8"),
        ("a.csv", b"user_id,city\n\nada,B\x00th\n", 3, "NUL byte"),
        ("a.csv", b'user_id,city\nada,"Bath"x\n', 2, "is no CSV"),
        ("a.csv", b'user_id,city\nbob,x\nada,"Bath\n', 3, "is no CSV"),
        ("a.tsv", b"user_id\tcity\nada\n", 2, "has 1 cells"),
        ("a.tsv", b"user_id\tcity\nada\t\xff\n", 2, "is not UTF-8"),
        ("a.jsonl", b'{"user_id": "ada"}\n{"user_id": \n', 2, "is no JSON"),
        ("a.jsonl", b'{"user_id": "ada"}\n["bob"]\n', 2, "is no JSON object"),
        ("a.jsonl", b'{"user_id": "ada"}\n{"user_id": "\xff"}\n', 2, "is not UTF-8"),
        ("a.jsonl", b'{"user_id": "ada"}\n' + b"[" * 100_000 + b"\n", 2, "is no JSON"),
    ],
)
def test_a_row_that_cannot_be_read_is_named_and_the_others_are_read(
    write: Write, name: str, content: bytes, line: int, reason: str
) -> None:
    good_line = b'\n{"user_id": "zoe"}\n' if name.endswith("jsonl") else b""
    found = rows(write(name, content + good_line))
    bad = [(number, text) for number, text in found if isinstance(text, str)]
    assert len(bad) == 1
    assert bad[0][0] == line
    assert reason in str(bad[0][1])


def test_reading_goes_on_after_a_broken_row(write: Write) -> None:
    path = write("a.csv", b'user_id,city\nada,"Bath"x\nbob,\xff\ncem,York\n')
    assert [line for line, content in rows(path) if isinstance(content, dict)] == [4]


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.csv", b"", "is empty"),
        ("a.tsv", b"\n\n", "is empty"),
        ("a.jsonl", b"", "is empty"),
        ("a.jsonl", b"user_id,city\nada,Bath\n", "line 1 is no JSON"),
        ("a.csv", b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR\x00\x00", "no text file in UTF-8"),
        ("a.csv", "user_id,city\nada,Bath\n".encode("utf-16"), "no text file in UTF-8"),
        ("a.jsonl", b"\x89PNG\r\n\x1a\n\x00", "line 1"),
        ("a.csv", b"age,city\n3,Bath\n", "needs user_id"),
        ("a.csv.gz", b"user_id,city\n", "cannot be read"),
        ("a.csv.gz", gzip.compress(b"user_id,city\nada,Bath\n" * 50)[:-12], "cannot be read"),
        ("a.png", b"\x89PNG", "format cannot be told"),
        ("a", b"user_id\n", "format cannot be told"),
    ],
)
def test_a_file_that_is_no_table_is_refused(
    sqlite_store: Store, write: Write, name: str, content: bytes, message: str
) -> None:
    path = write(name, content)
    with pytest.raises(ImportRefused, match=message) as caught:
        import_records(sqlite_store, users=path)
    assert name in str(caught.value)
    assert sqlite_store.counts()["users"] == 0


def test_a_header_alone_is_an_empty_table(sqlite_store: Store, write: Write) -> None:
    assert import_records(sqlite_store, users=write("a.csv", "user_id,city\n")).users.added == 0


def test_a_format_can_be_named(write: Write) -> None:
    path = write("export.txt", "user_id\tcity\nada\tBath\n")
    assert rows(path, format="tsv") == [(2, {"user_id": "ada", "city": "Bath"})]
    with pytest.raises(ImportRefused, match="no format 'xls'") as caught:
        read(path, "users", format="xls")
    assert "csv, tsv, jsonl, parquet" in caught.value.hint


def test_nan_in_a_file_is_a_bad_row(sqlite_store: Store, write: Write) -> None:
    import_records(sqlite_store, items=[Item("maps", "Reading Maps")])
    for path in (
        write("a.csv", "user_id,item_id,value\nada,maps,4\nada,maps,nan\n"),
        write(
            "a.jsonl", '{"user_id":"ada","item_id":"maps","value":4}\n{"user_id":"ada","item_id":"maps","value":NaN}\n'
        ),
    ):
        with pytest.raises(ImportRefused) as caught:
            import_records(sqlite_store, events=path)
        assert [(row.field, row.value) for row in caught.value.rows] in ([("value", "nan")], [("value", "'nan'")])


def test_old_files_are_read_as_utf_8_or_latin_1(write: Write) -> None:
    path = write("old.dat", "caf\u00e9\n".encode() + b"\n" + "caf\u00e9\r\n".encode("latin-1"))
    assert list(lines("old.dat", lambda: path.open("rb"))) == [(1, "caf\u00e9"), (3, "caf\u00e9")]
