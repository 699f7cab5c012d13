"""What is stored of users, items and events over one workspace, and taken out again."""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Iterator, Mapping, Sequence
from types import TracebackType
from typing import Any, Self

from llmrec.config import Settings
from llmrec.data import ImportReport, Store, history_of, import_records
from llmrec.errors import DataError
from llmrec.fitting import last_learning
from llmrec.records import Event, History, Item, User
from llmrec.releases import ReleaseStore
from llmrec.requests import user_id_of
from llmrec.words import forget_readings
from llmrec.workspace import Workspace

__all__ = ["Keeping"]


class Keeping:
    """The verbs of a recommender that store something, take it out or read it back.

    Args:
        workspace: The directory.
        settings: All settings.
    """

    def __init__(self, workspace: Workspace, settings: Settings) -> None:
        self.workspace = workspace
        self.settings = settings
        self.store = Store.open(workspace.store_url(settings))
        self.releases = ReleaseStore(workspace.releases, self.store)
        self._is_owner = True

    def close(self) -> None:
        """Let go of the database."""
        if self._is_owner:
            self.store.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def add_users(self, users: Any, *, skip_bad: bool = False) -> ImportReport:
        """Store users: records, dicts, or a pandas, polars or pyarrow table. A known id is updated. All or nothing.

        Raises:
            ImportRefused: A row is bad and `skip_bad` is off.
            BusyError: A fit, import or retrain is running.
        """
        return self.import_(users=users, skip_bad=skip_bad)

    def add_items(self, items: Any, *, skip_bad: bool = False) -> ImportReport:
        """Store items, as `add_users` does; they can be recommended at once, without a fit."""
        return self.import_(items=items, skip_bad=skip_bad)

    def add_events(self, events: Any, *, skip_bad: bool = False) -> ImportReport:
        """Store past events, as `add_users` does; an event that is already stored is not stored again."""
        return self.import_(events=events, skip_bad=skip_bad)

    def import_(
        self,
        *,
        users: Any = None,
        items: Any = None,
        events: Any = None,
        format: str | None = None,
        rename: Mapping[str, str] | None = None,
        skip_bad: bool = False,
        progress: bool = False,
    ) -> ImportReport:
        """Store users, items and events together, all or nothing.

        Args:
            users: Records, dicts, a table, or the path of a file; of a data set's folder or zip, its users are taken.
            items: The same for items.
            events: The same for events.
            format: csv, tsv, jsonl, parquet, recbole or movielens; None: by the path's suffix.
            rename: Our name for each column that has another one.
            skip_bad: Leave bad rows out instead of refusing the import; the report names them.
            progress: Show a bar on a terminal.

        Raises:
            ImportRefused: A row is bad and `skip_bad` is off.
            BusyError: A fit, import or retrain is running.
        """
        with self.workspace.locked("import"):
            return import_records(
                self.store,
                users=users,
                items=items,
                events=events,
                format=format,
                rename=rename,
                skip_bad=skip_bad,
                progress=progress,
            )

    def users(self) -> Iterator[User]:
        """Every stored user, by id."""
        return self.store.users()

    def items(self) -> Iterator[Item]:
        """Every stored item, in the order they were added."""
        return self.store.items()

    def feedback(self, event: Event) -> Event:
        """Store what a user just did or said; the next call takes it into account.

        Returns:
            The stored event with its sequence; sending the same `event_id` again returns the first one.

        Raises:
            UnknownItemError: The store has never seen the item.
            ConflictError: The `event_id` is taken by another event.
            DataError: It answers a recommendation that was somebody else's, or did not hold the item.
        """
        return self.feedback_many([event])[0]

    def feedback_many(self, events: Iterable[Event]) -> tuple[Event, ...]:
        """Store several events as `feedback` does, in one transaction: all of them or, on any error, none."""
        given = list(events)
        for event in given:
            if not isinstance(event, Event):
                raise DataError(
                    f"{event!r} is no Event", hint="from llmrec import Event; rec.feedback(Event(user_id, item_id))"
                )
            self.store.shown.check(event)
        return self.store.append_many(given, burst=self.settings.feedback.burst_seconds)

    def take_back(self, user_id: str, event_ids: Sequence[str]) -> int:
        """Delete some of a user's own events, as they wish, and their words where a conversation keeps them.

        Returns:
            How many there were. Where a release may have learnt from one, it is marked as after `forget`.
        """
        learnt = max(last_learning(self.workspace.training), *(one.learnt or 0 for one in self.releases.list()), 0)
        user_id, wanted = user_id_of(user_id), set(event_ids)
        texts = [str(event.text) for event in self.store.events(user_id) if event.event_id in wanted and event.text]
        before = self.store.last_forgotten()
        gone = self.store.take_back(user_id, sorted(wanted), learnt=learnt)
        self.store.turns.taken_back(user_id, wanted)
        self.store.turns.blank(user_id, texts)
        if texts:
            self._forget_words(texts)
        if self.store.last_forgotten() != before:
            self._unlearn_words()
        return gone

    def _forget_words(self, texts: Sequence[str] | None) -> None:
        """Let go of what deleted texts came to; None: of what all did."""
        if texts is None:
            shutil.rmtree(self.workspace.comments, ignore_errors=True)
        else:
            forget_readings(self.workspace.comments, texts)

    def _unlearn_words(self) -> None:
        """Let go of the vectors of comments; those that are left are learnt from again."""
        for path in self.workspace.comments.glob("*.npz"):
            path.unlink(missing_ok=True)

    def forget(self, user_id: str) -> dict[str, int]:
        """Delete a user for good: what is known of them, what they did, and what was recommended to them.

        Releases that were made before may have learnt from them: `llmrec releases` marks these, and the next fit or
        retraining begins without them.

        Returns:
            How many events, recommendations, turns of conversations and users were deleted.

        Raises:
            DataError: Nothing is known of the user.
            BusyError: A fit, import or retrain is running.
        """
        with self.workspace.locked("forget"):  # a fit that is running has read what they did
            gone = self.store.forget(user_id_of(user_id))
            shutil.rmtree(self.workspace.root / "replay", ignore_errors=True)  # an interrupted one has copies
            self._forget_words(None)
        if not any(gone.values()):
            raise DataError(f"there is no user {user_id!r}", hint="check the id; nothing was deleted")
        return gone

    def comments(self, user_id: str) -> tuple[Event, ...]:
        """All that a user said, oldest first, however long ago."""
        return tuple(one for one in self.store.events(user_id_of(user_id)) if one.kind == "comment" and one.text)

    def history(self, user_id: str) -> History:
        """What is known of a user, as a request sees it."""
        return history_of(self.store, user_id_of(user_id), self.settings.retrieval.history_events)
