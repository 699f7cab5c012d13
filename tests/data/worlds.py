"""A small course catalogue and what learners did in it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from llmrec.data import Store
from llmrec.records import Event, Item, User

NOON = datetime(2024, 5, 1, 12, tzinfo=UTC)

COURSES = [
    Item("knots", "Knots for Sailors", "Twelve knots and when to trust them.", {"hours": 3, "tags": ("boats", "rope")}),
    Item("bread", "Bread at Home", attributes={"hours": 5.5, "online": True}),
    Item("maps", "Reading Maps"),
]
LEARNERS = [User("ada", {"age": 36}), User("bob")]


def at(hour: float) -> datetime:
    """A time, some hours after noon."""
    return NOON + timedelta(hours=hour)


def click(user_id: str, item_id: str, hour: float = 0) -> Event:
    """A click at a time of its own."""
    return Event(user_id, item_id, kind="click", timestamp=at(hour))


def stored_events(store: Store) -> list[tuple[str, str | None, str]]:
    """User, item and kind of all events, user by user."""
    users = [user.user_id for user in store.users()]
    return [(event.user_id, event.item_id, event.kind) for user in users for event in store.events(user)]
