"""Finding users and items by what somebody types."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Engine, Row, Select, case, func, select

from llmrec.data.engine import reading
from llmrec.data.schema import items, users
from llmrec.records import User

__all__ = ["Lookup"]


class Lookup:
    """Of a store; safe to share between threads.

    Args:
        engine: Of the store's database.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def users(self, begun: str, limit: int) -> tuple[list[User], int]:
        """Users whose ids begin so, the shortest first, at most `limit` of them; and how many begin so."""
        wanted = select(users).where(users.c.user_id.startswith(_storable(begun), autoescape=True))
        first = wanted.order_by(func.length(users.c.user_id), users.c.user_id).limit(limit)
        found, total = self._found(wanted, first)
        return [User(row.user_id, row.attributes) for row in found], total

    def items(self, words: str, limit: int) -> tuple[list[str], int]:
        """Ids of items whose titles hold the words, those that begin with them first; and how many hold them."""
        words = _storable(words)
        wanted = select(items.c.item_id).where(items.c.title.icontains(words, autoescape=True))
        begins = case((items.c.title.istartswith(words, autoescape=True), 0), else_=1)
        order = (begins, func.length(items.c.title), items.c.position) if words else (items.c.position,)
        found, total = self._found(wanted, wanted.order_by(*order).limit(limit))
        return [str(row.item_id) for row in found], total

    def _found(self, wanted: Select[Any], first: Select[Any]) -> tuple[list[Row[Any]], int]:
        with reading(self._engine) as connection:
            total = connection.scalar(select(func.count()).select_from(wanted.subquery())) or 0
            return list(connection.execute(first)), int(total)


def _storable(text: str) -> str:
    """What no database keeps is in none of its texts either, and some refuse to be asked for it."""
    return "".join(letter if letter.isprintable() else "\ufffd" for letter in text)
