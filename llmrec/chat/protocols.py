"""What a conversation needs of others."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Protocol

from llmrec.records import Event, Explanation, History, RankedItem, Recommendation
from llmrec.words import Opinion

__all__ = ["Keeps", "Recommends"]


class Recommends(Protocol):
    """What a conversation asks of a recommender."""

    def recommend(
        self,
        user_id: str,
        n: int = 10,
        *,
        where: Mapping[str, object] | None = None,
        exclude: Iterable[str] = (),
        like: str | None = None,
    ) -> Recommendation:
        """The best items, without some, or only those most like one."""

    def rank(
        self,
        history: Sequence[str | Event] | None = None,
        candidates: Sequence[str] = (),
        *,
        user_id: str | None = None,
    ) -> list[RankedItem]:
        """The given items in their order for a user, or for another history of theirs."""

    def explain(self, user_id: str, item_id: str) -> Explanation:
        """Why an item gets its score."""

    def feedback(self, event: Event) -> Event:
        """Store what a user said or did."""

    def take_back(self, user_id: str, event_ids: Sequence[str]) -> int:
        """Delete some of a user's events."""

    def history(self, user_id: str) -> History:
        """What is known of a user."""

    def comments(self, user_id: str) -> Sequence[Event]:
        """All that a user said of items, oldest first."""

    def opinion(self, text: str) -> Opinion:
        """What a comment says."""

    def nearest(self, text: str) -> tuple[str, float] | None:
        """The item whose text is nearest to a description, and the cosine."""


class Keeps(Protocol):
    """Where conversations are kept."""

    def keep(
        self,
        user_id: str,
        conversation_id: str,
        *,
        said: str,
        answered: str,
        actions: list[str],
        state: dict[str, Any],
        explained: dict[str, Any] | None = None,
        after: int | None = None,
    ) -> int:
        """Keep one turn; its number. ConflictError: there is a newer one than `after`."""

    def newest(self, user_id: str, conversation_id: str) -> int:
        """The number of the newest turn; 0 where there is none."""

    def thumb(self, user_id: str, conversation_id: str, turn: int, up: bool | None) -> None:
        """Keep whether the user liked a reply."""

    def state(self, user_id: str, conversation_id: str) -> dict[str, Any] | None:
        """What holds since the last turn."""

    def delete(self, user_id: str, conversation_id: str | None = None) -> int:
        """Delete the turns."""
