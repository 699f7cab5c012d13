"""The catalogue in memory with its index, kept in step with the store: a new or changed item is found at once."""

from __future__ import annotations

import hashlib
import logging
import threading
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from llmrec.conditions import Condition
from llmrec.data import Store
from llmrec.errors import ConfigError, EmptyCatalogueError, UnknownItemError
from llmrec.models import Encoder
from llmrec.records import Item
from llmrec.retrieval.index import IndexedItems, ItemIndex
from llmrec.retrieval.selection import AttributeValues, Selection

__all__ = ["Catalogue", "CatalogueKeeper", "Where"]

Where = Mapping[str, Condition]
"""Attribute -> what is wanted of it."""

_logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Catalogue:
    """All items at one moment, by id and in the order they were added, and the index over their vectors."""

    version: int
    items: Mapping[str, Item]
    index: ItemIndex

    @cached_property
    def attribute_names(self) -> tuple[str, ...]:
        """Every attribute that at least one item has, sorted."""
        return tuple(sorted({name for item in self.items.values() for name in item.attributes}))

    def matching(self, where: Where) -> Selection:
        """The items that fulfil every condition, in the order they were added.

        Raises:
            ConfigError: No item has such an attribute.
        """
        for name in where:
            if name not in self.attribute_names:
                known = ", ".join(self.attribute_names) or "none"
                raise ConfigError(f"no item has the attribute {name!r}", hint=f"known attributes: {known}")
        fitting = np.ones(len(self.items), np.bool_)
        for name, condition in where.items():
            fitting &= self._values(name).fulfilling(condition)
        return Selection(self.index.items.item_ids, np.flatnonzero(fitting))

    def nearest(
        self, item_id: str, k: int, *, among: Collection[str] | None = None, excluded: Collection[str] = ()
    ) -> list[str]:
        """The k items whose texts are most like an item's, best first, itself apart.

        Raises:
            UnknownItemError: The store has never seen it.
        """
        self.require([item_id])
        (vector,) = self.index.vectors_of([item_id])
        found = self.index.search(vector, k, among=among, excluded={item_id, *excluded})
        return [one for one, _ in found]

    @cached_property
    def _asked(self) -> dict[str, AttributeValues]:
        """The values of the attributes that were asked for."""
        return {}

    def _values(self, name: str) -> AttributeValues:
        if name not in self._asked:
            self._asked[name] = AttributeValues([item.attributes.get(name) for item in self.items.values()])
        return self._asked[name]

    def require(self, item_ids: Iterable[str]) -> list[Item]:
        """Their items, in the order given.

        Raises:
            UnknownItemError: The store has never seen one of them.
        """
        wanted = list(item_ids)
        unknown = [item_id for item_id in wanted if item_id not in self.items]
        if unknown:
            raise UnknownItemError(
                f"unknown items: {', '.join(map(repr, unknown[:5]))}",
                hint="correct the ids, or add the items first: `llmrec import --items FILE`",
            )
        return [self.items[item_id] for item_id in wanted]


class CatalogueKeeper:
    """Hands out the current catalogue, embedding only what is new.

    Args:
        store: Where the items are kept.
        encoder: Embeds their texts.
        directory: Where the index is cached.
    """

    def __init__(self, store: Store, encoder: Encoder, directory: Path) -> None:
        self._store = store
        self._encoder = encoder
        self._directory = directory
        self._lock = threading.Lock()
        self._current: Catalogue | None = None

    def current(self, *, progress: bool = False) -> Catalogue:
        """The catalogue as the store has it now.

        Raises:
            EmptyCatalogueError: The store holds no items.
        """
        with self._lock:
            version = self._store.items_version()
            if self._current is None or self._current.version != version:
                items = {item.item_id: item for item in self._store.items()}
                if not items:
                    raise EmptyCatalogueError(
                        "the catalogue holds no items", hint="add some: `llmrec import --items FILE`"
                    )
                self._current = Catalogue(version, items, self._indexed(items, progress=progress))
            return self._current

    def _indexed(self, items: Mapping[str, Item], *, progress: bool) -> ItemIndex:
        name = self._encoder.fingerprint
        old = self._current.index if self._current else ItemIndex.load(self._directory, encoder=name)
        hashes = tuple(hashlib.sha256(item.text.encode()).hexdigest() for item in items.values())
        wanted = IndexedItems(name, tuple(items), hashes)
        if old is not None and old.items == wanted:
            return old
        vectors = self._vectors(items, hashes, old, progress=progress)
        index = ItemIndex(np.stack([vectors[digest] for digest in hashes]), wanted)
        index.keep(self._directory)
        return index

    def _vectors(
        self, items: Mapping[str, Item], hashes: tuple[str, ...], old: ItemIndex | None, *, progress: bool
    ) -> dict[str, NDArray[np.float32]]:
        known = dict(zip(old.items.text_hashes, old.vectors, strict=True)) if old else {}
        missing = {
            digest: item.text for digest, item in zip(hashes, items.values(), strict=True) if digest not in known
        }
        if missing:
            _logger.info("embedding %d texts for an index of %d items", len(missing), len(items))
            known |= zip(missing, self._encoder.encode(list(missing.values()), progress=progress), strict=True)
        return known
