"""The item index: exact, filtered exactly, saved as a cache that is never trusted blindly."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from llmrec import files
from llmrec.errors import StoreError
from llmrec.retrieval import index as index_module
from llmrec.retrieval.index import IndexedItems, ItemIndex

ENCODER = "some-encoder"


def made(count: int, dimension: int = 16, seed: int = 0) -> ItemIndex:
    vectors = np.random.default_rng(seed).normal(size=(count, dimension)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    ids = tuple(f"i{row}" for row in range(count))
    return ItemIndex(vectors, IndexedItems(ENCODER, ids, tuple(f"h{row}" for row in range(count))))


def by_hand(index: ItemIndex, query: np.ndarray, k: int, allowed: set[str]) -> list[str]:
    scores = {i: float(index.vectors_of([i])[0] @ query) for i in index.items.item_ids if i in allowed}
    return sorted(scores, key=lambda i: -scores[i])[:k]


def test_search_finds_what_a_scan_finds() -> None:
    index = made(300)
    query = index.vectors_of(["i7"])[0]
    found = index.search(query, 5)
    assert [i for i, _ in found] == by_hand(index, query, 5, set(index.items.item_ids))
    assert found[0] == ("i7", pytest.approx(1.0, abs=1e-6))


def test_excluded_items_never_come_back_and_the_rest_does() -> None:
    index = made(300)
    query = index.vectors_of(["i7"])[0]
    excluded = {f"i{row}" for row in range(290)} | {"never seen"}
    found = [i for i, _ in index.search(query, 50, excluded=excluded)]
    assert found == by_hand(index, query, 50, {f"i{row}" for row in range(290, 300)})


def test_a_search_among_few_is_exact() -> None:
    index = made(300)
    query = index.vectors_of(["i7"])[0]
    among = ["i250", "i3", "i99", "i100"]
    found = [i for i, _ in index.search(query, 10, among=among, excluded=["i3"])]
    assert found == by_hand(index, query, 10, {"i250", "i99", "i100"})


def test_nothing_left_is_an_empty_answer() -> None:
    index = made(3)
    query = index.vectors_of(["i0"])[0]
    assert index.search(query, 5, excluded=["i0", "i1", "i2"]) == []
    assert index.search(query, 5, among=[]) == []


def test_equal_scores_go_to_the_earlier_item() -> None:
    vectors = np.tile(np.eye(1, 4, dtype=np.float32), (6, 1))
    index = ItemIndex(vectors, IndexedItems(ENCODER, tuple("fedcba"), tuple("123456")))
    assert [i for i, _ in index.search(vectors[0], 6)] == list("fedcba")


def test_searching_leaves_the_language_model_its_threads() -> None:
    code = (
        "import numpy as np, torch\n"
        "from llmrec.retrieval.index import IndexedItems, ItemIndex\n"
        "torch.set_num_threads(3)\n"
        "index = ItemIndex(np.eye(4, dtype=np.float32), IndexedItems('e', tuple('abcd'), tuple('1234')))\n"
        "index.search(np.ones(4, np.float32), 2)\n"
        "print(torch.get_num_threads())"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "3"


def test_searching_changes_nothing() -> None:
    index = made(50)
    before = index.vectors.copy()
    query = index.vectors_of(["i7"])[0].copy()
    assert index.search(query, 5) == index.search(query, 5)
    np.testing.assert_array_equal(before, index.vectors)


def test_a_large_catalogue_gets_a_graph_that_finds_nearly_all(monkeypatch: pytest.MonkeyPatch) -> None:
    exact = made(2000)
    monkeypatch.setattr(index_module, "FLAT_LIMIT", 100)
    graph = made(2000)
    assert type(graph._index).__name__ == "IndexHNSWFlat"
    hits = 0
    for row in range(50):
        query = exact.vectors_of([f"i{row}"])[0]
        wanted = {i for i, _ in exact.search(query, 10, excluded=[f"i{row}"])}
        hits += len(wanted & {i for i, _ in graph.search(query, 10, excluded=[f"i{row}"])})
    assert hits >= 0.95 * 500


def test_saved_and_loaded_it_answers_the_same(tmp_path: Path) -> None:
    index = made(40)
    index.save(tmp_path)
    loaded = ItemIndex.load(tmp_path, encoder=ENCODER)
    assert loaded is not None
    assert loaded.items == index.items
    query = index.vectors_of(["i7"])[0]
    assert loaded.search(query, 10) == index.search(query, 10)


def loaded_size(directory: Path) -> int:
    loaded = ItemIndex.load(directory, encoder=ENCODER)
    assert loaded is not None
    return len(loaded)


def test_saving_again_removes_old_files_but_none_of_a_moment_ago(tmp_path: Path) -> None:
    made(40).save(tmp_path)
    (tmp_path / "a.faiss.0.tmp").write_bytes(b"left by a killed process")
    for path in tmp_path.glob("*.faiss*"):
        os.utime(path, (1, 1))
    made(41, seed=1).save(tmp_path)
    assert len(list(tmp_path.glob("*.faiss*"))) == 1
    made(42, seed=2).save(tmp_path)
    assert len(list(tmp_path.glob("*.faiss*"))) == 2
    assert loaded_size(tmp_path) == 42


def between(monkeypatch: pytest.MonkeyPatch, name: str, act: object) -> None:
    """Let another process act once, just before this one does something with the file of that name."""
    pending = [act]

    def now(path: Path) -> None:
        if path.name == name and pending:
            pending.pop()()  # type: ignore[operator]

    write, read = index_module.replace_file, Path.read_bytes
    monkeypatch.setattr(index_module, "replace_file", lambda path, data: (now(path), write(path, data)))
    monkeypatch.setattr(Path, "read_bytes", lambda path: (now(path), read(path))[1])


def test_of_two_that_save_at_once_both_find_their_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    between(monkeypatch, "index.json", lambda: made(41, seed=1).save(tmp_path))
    made(40).save(tmp_path)
    assert loaded_size(tmp_path) == 40


def test_a_reader_overtaken_by_a_save_reads_the_new_index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made(40).save(tmp_path)
    (old,) = tmp_path.glob("*.faiss")
    os.utime(old, (1, 1))
    between(monkeypatch, old.name, lambda: made(41, seed=1).save(tmp_path))
    assert loaded_size(tmp_path) == 41
    assert not old.exists()


def test_two_writers_of_one_file_do_not_share_a_temporary_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    flush, pending = files.os.fsync, [b"the other thread's"]

    def overtaken(descriptor: int) -> None:
        flush(descriptor)
        if pending:
            files.replace_file(tmp_path / "file", pending.pop())

    monkeypatch.setattr(files.os, "fsync", overtaken)
    files.replace_file(tmp_path / "file", b"ours")
    assert (tmp_path / "file").read_bytes() == b"ours"
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_reading_tells_a_missing_index_from_a_damaged_one(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        ItemIndex.read(tmp_path / "nothing")
    made(40).save(tmp_path)
    assert ItemIndex.read(tmp_path).items.encoder == ENCODER
    with pytest.raises(StoreError, match="another text encoder"):
        ItemIndex.read(tmp_path, encoder="another")
    (file,) = tmp_path.glob("*.faiss")
    file.write_bytes(b"")
    with pytest.raises(StoreError, match="sha256 differs"):
        ItemIndex.read(tmp_path)
    file.unlink()
    with pytest.raises(StoreError, match="No such file"):
        ItemIndex.read(tmp_path)


def test_what_cannot_be_trusted_is_not_loaded(tmp_path: Path) -> None:
    assert ItemIndex.load(tmp_path, encoder=ENCODER) is None
    made(40).save(tmp_path)
    assert ItemIndex.load(tmp_path, encoder="another") is None
    (file,) = tmp_path.glob("*.faiss")
    whole = file.read_bytes()
    for damaged in (whole[:-1], whole[:200] + bytes([whole[200] ^ 1]) + whole[201:], b""):
        file.write_bytes(damaged)
        assert ItemIndex.load(tmp_path, encoder=ENCODER) is None
    file.unlink()
    assert ItemIndex.load(tmp_path, encoder=ENCODER) is None
    (tmp_path / "index.json").write_text("{")
    assert ItemIndex.load(tmp_path, encoder=ENCODER) is None


def test_a_manifest_cannot_point_outside_its_directory(tmp_path: Path) -> None:
    made(4).save(tmp_path)
    manifest = json.loads((tmp_path / "index.json").read_text())
    outside = tmp_path.parent / "outside.faiss"
    (tmp_path / manifest["file"]).rename(outside)
    (tmp_path / "index.json").write_text(json.dumps(manifest | {"file": "../outside.faiss"}))
    assert ItemIndex.load(tmp_path, encoder=ENCODER) is None


def test_a_failed_save_leaves_the_old_index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made(40).save(tmp_path)

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(files.os, "fsync", full)
    with pytest.raises(OSError, match="No space"):
        made(41, seed=1).save(tmp_path)
    loaded = ItemIndex.load(tmp_path, encoder=ENCODER)
    assert loaded is not None
    assert len(loaded) == 40
    assert not list(tmp_path.glob("*.tmp"))
