"""What is known of a user when a request is answered, read from the store."""

from __future__ import annotations

from llmrec.data.store import Store
from llmrec.records import Event, History, User

__all__ = ["history_of"]


def history_of(store: Store, user_id: str, most: int) -> History:
    """A user's newest events and what they have met and hidden.

    Args:
        store: Users and events.
        user_id: Who.
        most: How many events are looked at.
    """
    # One more than is wanted: where it is not there, these are all, and nothing else needs to be read.
    events = store.events(user_id, limit=most + 1, behaviour=True)
    whole = len(events) <= most
    may_hide = any(event.kind in Event.HIDING for event in events)
    return History(
        user=store.user(user_id) or User(user_id),
        events=events if whole else events[1:],
        seen=frozenset(event.item_id for event in events if event.item_id) if whole else store.seen(user_id),
        known=len(events) if whole else store.event_count(user_id, behaviour=True),
        hidden=store.hidden(user_id) if not whole or may_hide else frozenset(),
    )
