"""What was recommended, kept so that feedback can be read against it."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import Any

from sqlalchemy import Engine, Row, and_, or_, select

from llmrec.data.engine import insert_or_ignore, reading, writing
from llmrec.data.schema import recommendations
from llmrec.errors import DataError
from llmrec.records import Event, Shown, ShownItem

__all__ = ["ShownLists"]

_PAGE = 500


class ShownLists:
    """The recommendations of a store; safe to share between threads.

    Args:
        engine: Of the store's database.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def keep(self, shown: Shown) -> None:
        """Keep a list; one that is kept already stays as it is."""
        items = [[one.item_id, one.score, dict(one.parts), one.propensity] for one in shown.items]
        row = {
            "recommendation_id": shown.recommendation_id,
            "user_id": shown.user_id,
            "release": shown.release,
            "prompt": shown.prompt,
            "time": shown.time,
            "last_sequence": shown.last_sequence,
            "items": json.dumps(items, ensure_ascii=False, allow_nan=False),
        }
        with writing(self._engine) as connection:
            connection.execute(insert_or_ignore(connection, recommendations).values(row))

    def get(self, recommendation_id: str) -> Shown | None:
        """One list, or None where it was not kept."""
        if not recommendation_id.isprintable():
            return None
        query = select(recommendations).where(recommendations.c.recommendation_id == recommendation_id)
        with reading(self._engine) as connection:
            row = connection.execute(query).one_or_none()
        return None if row is None else _shown(row)

    def check(self, event: Event) -> None:
        """Refuse what cannot be: an answer to somebody else's list, or to an item that was not on it.

        Raises:
            DataError: It is one.
        """
        shown = self.get(event.recommendation_id) if event.recommendation_id else None
        if shown is None:
            return
        if shown.user_id != event.user_id:
            wrong = f"was made for {shown.user_id!r}, not for {event.user_id!r}"
        elif event.item_id is not None and event.item_id not in {one.item_id for one in shown.items}:
            wrong = f"did not hold item {event.item_id!r}"
        else:
            return
        raise DataError(
            f"the recommendation {event.recommendation_id} {wrong}", hint="leave recommendation_id out, or correct it"
        )

    def __iter__(self) -> Iterator[Shown]:
        """All of them, user after user, each user's oldest first; page by page."""
        table = recommendations.c
        query = select(recommendations).order_by(table.user_id, table.time, table.recommendation_id).limit(_PAGE)
        page = self._page(query)
        while page:
            yield from map(_shown, page)
            last = page[-1]
            later = or_(
                table.time > last.time,
                and_(table.time == last.time, table.recommendation_id > last.recommendation_id),
            )
            rest = or_(table.user_id > last.user_id, and_(table.user_id == last.user_id, later))
            # The bound apart lets an index be used.
            page = self._page(query.where(table.user_id >= last.user_id, rest))

    def _page(self, query: Any) -> Sequence[Row[Any]]:
        with reading(self._engine) as connection:
            return connection.execute(query).all()


def _shown(row: Row[Any]) -> Shown:
    items = tuple(ShownItem(*place) for place in json.loads(row.items))
    return Shown(row.recommendation_id, row.user_id, row.release, row.prompt, row.time, row.last_sequence, items)
