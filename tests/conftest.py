"""Worlds that every test may use: a shop without films, small enough to see the right answer."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from llmrec import Event, Item, Recommender, User
from llmrec.testing import OverlapLanguageModel, WordEncoder

START = datetime(2024, 5, 1, tzinfo=UTC)


def shop_items() -> list[Item]:
    garden = [("rake", "Leaf rake"), ("spade", "Garden spade"), ("hose", "Garden hose"), ("gloves", "Garden gloves")]
    kitchen = [("pan", "Frying pan"), ("pot", "Soup pot"), ("knife", "Kitchen knife"), ("board", "Kitchen board")]
    return [
        Item(item_id, title, attributes={"room": room, "price": 10 + place, "tags": (room, "home")})
        for room, group in (("garden", garden), ("kitchen", kitchen))
        for place, (item_id, title) in enumerate(group)
    ]


def shop_events() -> list[Event]:
    bought = {
        "ann": ["rake", "spade", "hose"],
        "bob": ["pan", "pot", "knife"],
        "cem": ["spade", "gloves", "pan"],
        "dia": ["pot", "board", "rake"],
    }
    return [
        Event(user_id, item_id, "purchase", timestamp=START + timedelta(days=day))
        for user_id, item_ids in bought.items()
        for day, item_id in enumerate(item_ids)
    ]


def open_shop(path: Path, **parts: object) -> Recommender:
    parts = {"encoder": WordEncoder(), "language_model": OverlapLanguageModel(), **parts}
    rec = Recommender.create(path, **parts)
    rec.add_users([User("ann", {"age": 31, "place": "Oslo"}), User("bob", {"age": 52})])
    rec.add_items(shop_items())
    rec.add_events(shop_events())
    return rec


@pytest.fixture
def shop(tmp_path: Path) -> Iterator[Recommender]:
    """A fitted recommender over the shop, with the deterministic stand-ins for both models."""
    with open_shop(tmp_path / "shop") as rec:
        rec.fit()
        yield rec
