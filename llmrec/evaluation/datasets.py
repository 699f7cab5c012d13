"""What is evaluated on: interactions, the items' texts and groups of users, from files, a folder or a store."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from llmrec.data import Store
from llmrec.evaluation.groups import user_groups
from llmrec.evaluation.interactions import Interactions
from llmrec.evaluation.loading import (
    interactions_from_files,
    interactions_from_sequences,
    interactions_from_store,
    read_items,
    read_users,
)
from llmrec.records import Item, User

__all__ = ["MEMORISED", "EvaluationData", "data_from_files", "data_from_folder", "data_from_store"]

MEMORISED = (
    "MovieLens has been public for long, and large language models recall much of it: what one adds here may be "
    "memory. Compare on a catalogue of your own."
)


@dataclass(frozen=True, slots=True, eq=False)
class EvaluationData:
    """One data set.

    Args:
        name: What the report calls it.
        interactions: Who took what.
        texts: The text of each item row; None where nothing is known of the items but their ids.
        groups: Attribute -> user id -> value, from `user_groups`.
        files: What it was read from.
        notes: What a reader of the report should know.
        items: The catalogue, where something is known of the items but their ids.
        users: What is known of the users.
    """

    name: str
    interactions: Interactions
    texts: Sequence[str] | None
    groups: Mapping[str, Mapping[str, object]] = field(default_factory=dict)
    files: Sequence[Path] = ()
    notes: Sequence[str] = ()
    items: Sequence[Item] = ()
    users: Sequence[User] = ()

    def by_id(self) -> EvaluationData:
        """The same with users and items in the order of their ids; see `Interactions.by_id`."""
        ordered = self.interactions.by_id()
        if self.texts is None:
            return replace(self, interactions=ordered)
        text_of = dict(zip(self.interactions.item_ids, self.texts, strict=True))
        return replace(self, interactions=ordered, texts=[text_of[item_id] for item_id in ordered.item_ids])


def data_from_files(
    name: str,
    events: Path,
    items: Path | None = None,
    users: Path | None = None,
    *,
    format: str | None = None,
    rename: Mapping[str, str] | None = None,
    core: int = 0,
    notes: Sequence[str] = (),
) -> EvaluationData:
    """Files of events, items and users, or folders and zips that hold them; what was refused is left out.

    Args:
        name: What the report calls it.
        events: The events.
        items: The catalogue; None where it is exactly what the events are about, and has no texts.
        users: The users, for slices by what is known of them.
        format: The format of the files, where their suffixes do not tell.
        rename: Our column name for each column that has another one.
        core: Leave users and items out until each has so many events.
        notes: What a reader of the report should know.

    Raises:
        ImportRefused: A file is missing or damaged, or a row is bad.
        UnknownItemError: An event is about an item that is not among `items`.
    """
    how: dict[str, Any] = {"format": format, "rename": rename}
    catalogue = None if items is None else read_items(items, **how)
    interactions = interactions_from_files(events, catalogue, negatives=False, **how)
    if core:
        interactions = interactions.core(core)
    text_of = {item.item_id: item.text for item in catalogue or ()}
    known_users = () if users is None else read_users(users, **how)
    return EvaluationData(
        name,
        interactions,
        None if catalogue is None else [text_of[item_id] for item_id in interactions.item_ids],
        user_groups(known_users),
        _files(events, items, users),
        notes,
        catalogue or (),
        known_users,
    )


def data_from_folder(name: str, folder: Path, *, notes: Sequence[str] = ()) -> EvaluationData:
    """A folder with sequences.tsv, items.tsv and, where something is known of the users, users.tsv.

    Raises:
        DataError: A file is missing or damaged.
    """
    sequences, items, users = (folder / f"{kind}.tsv" for kind in ("sequences", "items", "users"))
    catalogue = read_items(items)
    known_users = read_users(users) if users.exists() else ()
    return EvaluationData(
        name,
        interactions_from_sequences(sequences, catalogue),
        [item.text for item in catalogue],
        user_groups(known_users),
        [path for path in (sequences, items, users) if path.exists()],
        notes,
        catalogue,
        known_users,
    )


def data_from_store(name: str, store: Store) -> EvaluationData:
    """Everything that a store holds; what was refused is left out, as when a release is fitted."""
    interactions = interactions_from_store(store, negatives=False)
    items = store.items_by_id(interactions.item_ids)
    return EvaluationData(name, interactions, [item.text for item in items.values()], user_groups(store.users()))


def _files(*paths: Path | None) -> list[Path]:
    """The files that these paths are or hold, each once."""
    return sorted({file for path in paths if path is not None for file in _files_of(path)})


def _files_of(path: Path) -> Iterable[Path]:
    return (file for file in path.iterdir() if file.is_file()) if path.is_dir() else [path]
