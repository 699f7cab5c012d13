"""The FAISS index over item vectors: the one module that knows faiss, and the one place where an item is a row number.

On disk it is a cache: `index.json` names the index file and its sha256, the encoder, and for every row the item id and
the hash of the text it was made from. What does not match is made anew from the store.
"""

from __future__ import annotations

import hashlib
import json
import logging
import time
from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch  # noqa: F401 - faiss must be imported after torch: both bring an OpenMP runtime, and the first one wins

import faiss  # isort: skip
from numpy.typing import NDArray

from llmrec.errors import StoreError
from llmrec.files import replace_file
from llmrec.retrieval.selection import Selection

__all__ = ["FLAT_LIMIT", "IndexedItems", "ItemIndex", "inner_products", "one_thread"]

Floats = NDArray[np.float32]
Rows = NDArray[np.int64]

FLAT_LIMIT = 1_000_000
"""Up to this many items every search is exact; above, an HNSW graph answers in about constant time."""

_CROWD = 500
"""A graph is not walked where more than one item in this many is left out: scanning all costs less."""

_MANIFEST = "index.json"
_FORMAT = 1
_READS = 5  # while others save
_ROUNDING = 1e-5
_GRACE = 60  # seconds in which another process may still be about to name a file in its manifest
_logger = logging.getLogger(__name__)


@contextmanager
def one_thread() -> Iterator[None]:
    """Keep faiss and torch from spreading what one user needs over threads: under load these wait for each other.

    The number is the calling thread's in OpenMP and holds for whatever else uses it, so it is put back.
    """
    before = faiss.omp_get_max_threads()
    faiss.omp_set_num_threads(1)
    try:
        yield
    finally:
        faiss.omp_set_num_threads(before)


def inner_products(vectors: Floats, query: Floats) -> Floats:
    """Each row's with the query, float32 [rows]; the same bits wherever a row stands.

    numpy's `@` would wake the threads of its own BLAS, which hold the cores that torch's need next.
    """
    products: Floats = np.einsum("ij,j->i", vectors, query)
    return products


@dataclass(frozen=True, slots=True)
class IndexedItems:
    """What the rows of an index stand for, in row order."""

    encoder: str
    item_ids: tuple[str, ...]
    text_hashes: tuple[str, ...]


class ItemIndex:
    """Item vectors that can be searched by inner product.

    Args:
        vectors: Float32 [items, dimension], rows of unit length.
        items: What each row stands for.
        built: The faiss index over them, where it was saved before.
    """

    def __init__(self, vectors: Floats, items: IndexedItems, built: Any = None) -> None:
        self.vectors = np.ascontiguousarray(vectors, dtype=np.float32)
        self.items = items
        self._rows = {item_id: row for row, item_id in enumerate(items.item_ids)}
        self._index = built or _build(self.vectors)

    def __len__(self) -> int:
        return len(self.items.item_ids)

    def __contains__(self, item_id: object) -> bool:
        return item_id in self._rows

    @property
    def dimension(self) -> int:
        """Length of a vector."""
        return int(self.vectors.shape[1])

    @cached_property
    def mean(self) -> Floats:
        """The mean of all vectors, float32 [dimension]."""
        mean: Floats = self.vectors.mean(axis=0) if len(self) else np.zeros(self.dimension, np.float32)
        return mean

    def vectors_of(self, item_ids: Sequence[str]) -> Floats:
        """Their vectors, float32 [len(item_ids), dimension], in the order given."""
        return self.vectors[[self._rows[item_id] for item_id in item_ids]]

    def rows_of(self, item_ids: Collection[str]) -> Rows:
        """The rows of these items, each once, ascending; of a selection of this index's items nothing is looked up."""
        if isinstance(item_ids, Selection) and item_ids.item_ids is self.items.item_ids:
            return item_ids.rows
        return _ordered(self._rows[item_id] for item_id in set(item_ids))

    def search(
        self, query: Floats, k: int, *, among: Collection[str] | None = None, excluded: Collection[str] = ()
    ) -> list[tuple[str, float]]:
        """The k items nearest to the query, best first; ties go to the item added earlier.

        Args:
            query: Float32 [dimension].
            k: How many at most.
            among: Only these items; the search over them is exact, however few they are.
            excluded: Never these items.
        """
        left_out = _ordered(self._rows[i] for i in set(excluded) if i in self._rows)
        if among is None:
            return self._nearest_but(left_out, query, k)
        return self._nearest_of(np.setdiff1d(self.rows_of(among), left_out, assume_unique=True), query, k)

    def _nearest_of(self, rows: Rows, query: Floats, k: int) -> list[tuple[str, float]]:
        # Gathering many rows costs more than scoring those between them too.
        gathered = len(rows) * 4 < len(self)
        scores = inner_products(self.vectors[rows], query) if gathered else inner_products(self.vectors, query)[rows]
        return [(self.items.item_ids[rows[place]], float(scores[place])) for place in _best(scores, k)]

    def _nearest_but(self, left_out: Rows, query: Floats, k: int) -> list[tuple[str, float]]:
        k = min(k, len(self) - len(left_out))
        if k <= 0:
            return []
        if isinstance(self._index, faiss.IndexHNSW) and len(left_out) * _CROWD > len(self):
            return self._nearest_of(self._others(left_out), query, k)
        with one_thread():
            scores, found = self._index.search(query[None], k, params=_parameters(self._index, left_out, k))
        if found.min() < 0:  # the graph led to fewer than there are
            return self._nearest_of(self._others(left_out), query, k)
        pairs = sorted(zip(found[0], scores[0], strict=True), key=lambda pair: (-pair[1], pair[0]))
        return [(self.items.item_ids[row], float(score)) for row, score in pairs]

    def _others(self, left_out: Rows) -> Rows:
        return np.setdiff1d(np.arange(len(self)), left_out, assume_unique=True)

    def save(self, directory: Path) -> None:
        """Write the index and then its manifest; a reader sees the old pair or the new one, never a mixture.

        Several processes may save at once: the last manifest holds, and each finds its own file.
        """
        directory.mkdir(parents=True, exist_ok=True)
        data = faiss.serialize_index(self._index).tobytes()
        digest = hashlib.sha256(data).hexdigest()
        name = f"{digest[:16]}.faiss"
        replace_file(directory / name, data)
        manifest = {
            "format": _FORMAT,
            "file": name,
            "sha256": digest,
            "dimension": self.dimension,
            "encoder": self.items.encoder,
            "item_ids": self.items.item_ids,
            "text_hashes": self.items.text_hashes,
        }
        replace_file(directory / _MANIFEST, json.dumps(manifest, ensure_ascii=False).encode())
        _remove_stale(directory, name)

    def keep(self, directory: Path) -> None:
        """Save as `save` does; where that cannot be, say so and go on, because a cache can be made again."""
        try:
            self.save(directory)
        except OSError as error:
            _logger.warning("the item index cannot be kept in %s and will be made again: %s", directory, error)

    @classmethod
    def cached(cls, directory: Path, vectors: Floats, items: IndexedItems) -> ItemIndex:
        """An index over these vectors: the saved one where it is of them, else one made now and saved.

        A graph that is of the first of these items takes up the rest. Up to `FLAT_LIMIT` items nothing is saved:
        an exact index is the vectors themselves.
        """
        if len(vectors) <= FLAT_LIMIT:
            return cls(vectors, items)
        old = cls.load(directory, encoder=items.encoder)
        index = old._continued(vectors, items) if old else None
        if old and index and len(index) == len(old):
            return index
        index = index or cls(vectors, items)
        index.keep(directory)
        return index

    def _continued(self, vectors: Floats, items: IndexedItems) -> ItemIndex | None:
        """The same graph with what these have beyond its own; None where they do not begin with its own."""
        size = len(self)
        if items.item_ids[:size] != self.items.item_ids or not _alike(self.vectors, vectors[:size]):
            return None
        if len(vectors) > size:
            self._index.add(np.ascontiguousarray(vectors[size:], dtype=np.float32))
        return ItemIndex(vectors, items, self._index)

    @classmethod
    def load(cls, directory: Path, *, encoder: str) -> ItemIndex | None:
        """The saved index, or None where there is none, it is damaged, or another encoder made it."""
        try:
            return cls.read(directory, encoder=encoder)
        except FileNotFoundError:
            return None
        except StoreError as error:
            _logger.warning("%s; it will be made anew", error)
            return None

    @classmethod
    def read(cls, directory: Path, *, encoder: str | None = None) -> ItemIndex:
        """The saved index.

        Args:
            directory: Where it was saved.
            encoder: Which text encoder must have made it; None: any.

        Raises:
            FileNotFoundError: None was saved here.
            StoreError: It is damaged, or another encoder made it.
        """
        try:
            manifest, data = _saved(directory)
            return _verified(manifest, data, encoder)
        except (OSError, ValueError, KeyError, TypeError, RuntimeError) as error:
            if isinstance(error, FileNotFoundError) and not (directory / _MANIFEST).exists():
                raise
            raise StoreError(
                f"the item index in {directory} is not usable: {error}",
                hint="run `llmrec fit`, or ask for a recommendation: either makes it anew from the stored items",
            ) from error


def _remove_stale(directory: Path, current: str) -> None:
    """Remove other index files, but none so young that its process may only now write the manifest that names it."""
    for path in directory.glob("*.faiss*"):  # also what a killed process left half-written
        with suppress(FileNotFoundError):  # another process tidies up too
            if path.name != current and time.time() - path.stat().st_mtime > _GRACE:
                path.unlink()


def _saved(directory: Path, tries: int = _READS) -> tuple[dict[str, Any], bytes]:
    """The manifest and the bytes of the file it names, read again where a save comes between the two."""
    manifest: dict[str, Any] = json.loads((directory / _MANIFEST).read_text(encoding="utf-8"))
    try:
        return manifest, (directory / Path(manifest["file"]).name).read_bytes()
    except FileNotFoundError:
        if tries == 1:
            raise
    return _saved(directory, tries - 1)


def _verified(manifest: dict[str, Any], data: bytes, encoder: str | None) -> ItemIndex:
    if manifest["format"] != _FORMAT:
        raise ValueError(f"it has format {manifest['format']}")
    if encoder is not None and manifest["encoder"] != encoder:
        raise ValueError("another text encoder made it")
    # faiss reads some damaged files without an error and then returns wrong neighbours, so the bytes are checked first.
    if hashlib.sha256(data).hexdigest() != manifest["sha256"]:
        raise ValueError("its sha256 differs from the manifest's")
    index = faiss.deserialize_index(np.frombuffer(data, dtype=np.uint8))
    items = IndexedItems(manifest["encoder"], tuple(manifest["item_ids"]), tuple(manifest["text_hashes"]))
    if not index.ntotal == len(items.item_ids) == len(items.text_hashes) or index.d != manifest["dimension"]:
        raise ValueError("its size differs from the manifest's")
    vectors = index.reconstruct_n(0, index.ntotal) if index.ntotal else np.zeros((0, index.d), np.float32)
    return ItemIndex(vectors, items, index)


def _ordered(rows: Iterable[int]) -> Rows:
    return np.sort(np.fromiter(rows, dtype=np.int64))


def _best(scores: Floats, k: int) -> Rows:
    """Places of the k highest scores, best first; of equal ones the earlier."""
    if k >= len(scores):
        return np.argsort(-scores, kind="stable")
    lowest = np.partition(scores, len(scores) - k)[len(scores) - k]
    places = np.flatnonzero(scores >= lowest)
    return places[np.argsort(-scores[places], kind="stable")[:k]]


def _alike(one: Floats, other: Floats) -> bool:
    """Equal but for rounding, which differs between machines and numbers of threads."""
    return one.shape == other.shape and bool(np.max(np.abs(one - other), initial=0) < _ROUNDING)


def _build(vectors: Floats) -> Any:
    dimension = int(vectors.shape[1])
    flat = len(vectors) <= FLAT_LIMIT
    index: Any = (
        faiss.IndexFlatIP(dimension) if flat else faiss.IndexHNSWFlat(dimension, 32, faiss.METRIC_INNER_PRODUCT)
    )
    index.add(vectors)
    return index


def _parameters(index: Any, left_out: Rows, k: int) -> Any:
    selector = faiss.IDSelectorNot(faiss.IDSelectorBatch(left_out)) if len(left_out) else None
    if isinstance(index, faiss.IndexHNSW):
        # What is left out fills the queue: items a user has met lie around what they look for. With a queue of 128,
        # half of the 50 nearest were missed behind 200 met ones; with this, one in a hundred (LOG.md).
        width = max(128, 2 * k + 4 * len(left_out))
        return faiss.SearchParametersHNSW(sel=selector, efSearch=width)  # type: ignore[attr-defined]
    return faiss.SearchParameters(sel=selector)  # type: ignore[call-arg]
