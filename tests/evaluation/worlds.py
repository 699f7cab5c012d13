"""Small worlds for evaluation: a garden shop, and blocks of items that are taken together."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta

import numpy as np

from llmrec.evaluation import Interactions, Requests, Sequences, interactions_from_events
from llmrec.records import Event

START = datetime(2024, 5, 1, tzinfo=UTC)
ITEMS = ("board", "gloves", "hose", "knife", "pan", "pot", "rake", "spade")


def at(day: int) -> datetime:
    return START + timedelta(days=day)


def taken(users: Mapping[str, str], items: tuple[str, ...] = ITEMS) -> Interactions:
    """Interactions from item names with blanks between them, one event a day."""
    events = [
        Event(user_id, item_id, timestamp=at(day))
        for user_id, item_ids in users.items()
        for day, item_id in enumerate(item_ids.split())
    ]
    return interactions_from_events(events, items)


def names(interactions: Interactions, rows: np.ndarray) -> str:
    return " ".join(interactions.item_ids[row] if row >= 0 else "-" for row in rows)


def lists_of(sequences: Sequences, interactions: Interactions) -> list[str]:
    return [names(interactions, rows) for rows in sequences]


def ragged(*parts: list[int]) -> Sequences:
    flat = [row for part in parts for row in part]
    return Sequences(np.cumsum([0, *map(len, parts)]), np.array(flat, np.int64))


def requests(*histories: list[int]) -> Requests:
    return Requests(np.arange(len(histories)), ragged(*histories))


def blocks(users: int = 60, block: int = 8, seed: int = 0) -> Interactions:
    """Two blocks of items; even users take items of the first block in a random order, odd users of the second."""
    generator = np.random.default_rng(seed)
    parts = [(generator.permutation(block)[:6] + block * (user % 2)).tolist() for user in range(users)]
    item_ids = tuple(f"i{row:02d}" for row in range(2 * block))
    return Interactions(tuple(f"u{user:02d}" for user in range(users)), item_ids, ragged(*parts))
