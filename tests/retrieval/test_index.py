"""The item index: exact, filtered exactly, saved as a cache that is never trusted blindly."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
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


@pytest.fixture(params=["flat", "graph"])
def index(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> ItemIndex:
    """Two thousand items, in either kind of index."""
    monkeypatch.setattr(index_module, "FLAT_LIMIT", 2000 if request.param == "flat" else 100)
    made_one = made(2000)
    assert type(made_one._index).__name__ == {"flat": "IndexFlatIP", "graph": "IndexHNSWFlat"}[request.param]
    return made_one


@pytest.mark.parametrize("allowed", [1, 9, 10, 11, 499, 500, 501, 1999, 2000])
def test_a_condition_is_exact_however_many_items_it_leaves(index: ItemIndex, allowed: int) -> None:
    among = {f"i{row}" for row in np.random.default_rng(allowed).permutation(2000)[:allowed]}
    query = index.vectors_of(["i7"])[0]
    excluded = sorted(among)[: allowed // 3]
    found = index.search(query, 10, among=among, excluded=excluded)
    assert [i for i, _ in found] == by_hand(index, query, 10, among.difference(excluded))


@pytest.mark.parametrize("left", [1, 9, 10, 11, 1000])
def test_what_is_left_when_many_are_excluded_is_found_exactly(index: ItemIndex, left: int) -> None:
    order = [f"i{row}" for row in np.random.default_rng(left).permutation(2000)]
    query = index.vectors_of(["i7"])[0]
    found = index.search(query, 10, excluded=order[left:])
    assert [i for i, _ in found] == by_hand(index, query, 10, set(order[:left]))


def test_met_items_all_around_the_query_do_not_hide_those_behind_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(index_module, "FLAT_LIMIT", 100)
    monkeypatch.setattr(index_module, "_CROWD", 1)  # walk the graph, however many are left out
    centres = np.repeat(made(20).vectors, 100, axis=0)
    clustered = ItemIndex(centres + 0.2 * made(2000, seed=1).vectors, made(2000).items)
    query = clustered.vectors_of(["i7"])[0]
    nearest = by_hand(clustered, query, 210, set(clustered.items.item_ids))
    assert [i for i, _ in clustered.search(query, 10, excluded=nearest[:200])] == nearest[200:]


def test_a_graph_that_leads_to_too_few_gives_way_to_a_scan(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(index_module, "FLAT_LIMIT", 1)
    lonely = made(40)
    lonely._index.hnsw.entry_point = -1
    query = lonely.vectors_of(["i7"])[0]
    assert [i for i, _ in lonely.search(query, 5)] == by_hand(lonely, query, 5, set(lonely.items.item_ids))


def test_an_inner_product_does_not_depend_on_where_its_row_stands() -> None:
    vectors = np.random.default_rng(0).normal(size=(1003, 96)).astype(np.float32)
    whole = index_module.inner_products(vectors, vectors[5])
    shuffled = np.random.default_rng(1).permutation(1003)[:77]
    np.testing.assert_array_equal(index_module.inner_products(vectors[shuffled], vectors[5]), whole[shuffled])
    np.testing.assert_allclose(whole, vectors @ vectors[5], rtol=1e-4, atol=1e-4)


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


@pytest.fixture
def builds(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Sizes of the graphs that were built from nothing."""
    monkeypatch.setattr(index_module, "FLAT_LIMIT", 20)
    sizes: list[int] = []
    build = index_module._build
    monkeypatch.setattr(index_module, "_build", lambda vectors: (sizes.append(len(vectors)), build(vectors))[1])
    return sizes


def cached(directory: Path, like: ItemIndex) -> ItemIndex:
    return ItemIndex.cached(directory, like.vectors, like.items)


def assert_exact(index: ItemIndex) -> None:
    """A graph this small finds everything, so it tells whether all of its vectors are the right ones."""
    for item_id in index.items.item_ids:
        query = index.vectors_of([item_id])[0]
        found = [i for i, _ in index.search(query, 5)]
        assert found == by_hand(index, query, 5, set(index.items.item_ids))


def test_a_graph_is_built_once_for_the_same_vectors(tmp_path: Path, builds: list[int]) -> None:
    wanted = made(60)
    builds.clear()
    first, second = cached(tmp_path, wanted), cached(tmp_path, wanted)
    assert builds == [60]
    assert_exact(second)
    query = wanted.vectors_of(["i7"])[0]
    assert first.search(query, 10) == second.search(query, 10)


def test_a_few_items_are_not_kept(tmp_path: Path, builds: list[int]) -> None:
    assert_exact(cached(tmp_path, made(20)))
    assert not list(tmp_path.iterdir())


def test_another_computation_of_the_same_vectors_takes_up_the_graph(tmp_path: Path, builds: list[int]) -> None:
    wanted = made(60)
    cached(tmp_path, wanted)
    builds.clear()
    rounded = ItemIndex(wanted.vectors + np.float32(1e-7), wanted.items, wanted._index)
    assert_exact(cached(tmp_path, rounded))
    assert builds == []


@pytest.mark.parametrize(
    "other", [made(60, seed=1), made(60, dimension=12), made(50)], ids=["values", "shape", "fewer"]
)
def test_other_vectors_are_not_taken_for_the_saved_ones(tmp_path: Path, builds: list[int], other: ItemIndex) -> None:
    cached(tmp_path, made(60))
    builds.clear()
    assert_exact(cached(tmp_path, other))
    assert builds == [len(other)]


def test_other_items_with_the_same_vectors_keep_their_own_names(tmp_path: Path, builds: list[int]) -> None:
    wanted = made(60)
    cached(tmp_path, wanted)
    renamed = IndexedItems(ENCODER, tuple(f"j{row}" for row in range(60)), wanted.items.text_hashes)
    found = ItemIndex.cached(tmp_path, wanted.vectors, renamed).search(wanted.vectors[7], 1)
    assert found[0][0] == "j7"


def test_items_that_came_later_are_added_to_the_graph(tmp_path: Path, builds: list[int]) -> None:
    cached(tmp_path, made(60))
    more = made(70)
    np.testing.assert_array_equal(more.vectors[:60], made(60).vectors)
    builds.clear()
    assert_exact(cached(tmp_path, more))
    assert_exact(cached(tmp_path, more))
    assert builds == []


def shortened(data: bytes) -> bytes:
    return data[:-1]


def with_a_bit_changed(data: bytes) -> bytes:
    return data[:300] + bytes([data[300] ^ 1]) + data[301:]


@pytest.mark.parametrize("damage", [shortened, with_a_bit_changed, lambda _: b""], ids=["shortened", "bit", "empty"])
def test_a_damaged_graph_is_built_anew(tmp_path: Path, builds: list[int], damage: Callable[[bytes], bytes]) -> None:
    wanted = made(60)
    cached(tmp_path, wanted)
    (file,) = tmp_path.glob("*.faiss")
    file.write_bytes(damage(file.read_bytes()))
    builds.clear()
    assert_exact(cached(tmp_path, wanted))
    assert builds == [60]
    assert_exact(cached(tmp_path, wanted))
    assert builds == [60]


def test_two_that_build_at_once_both_answer_and_leave_one_that_holds(
    tmp_path: Path, builds: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    wanted = made(60)
    between(monkeypatch, "index.json", lambda: assert_exact(cached(tmp_path, wanted)))
    assert_exact(cached(tmp_path, wanted))
    builds.clear()
    assert_exact(cached(tmp_path, wanted))
    assert builds == []


def test_a_graph_that_cannot_be_kept_still_answers(
    tmp_path: Path, builds: list[int], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(files.os, "fsync", full)
    assert_exact(cached(tmp_path, made(60)))
    assert "cannot be kept" in caplog.text
    assert not list(tmp_path.iterdir())


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
