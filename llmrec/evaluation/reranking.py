"""The same lists in four orders: the retriever's, the control's, the language model's, and that of both together.

A workspace's own parts are asked, as for a request: the sequence encoder proposes, evidence rescores (the control), the
language model reads its prompt, fusion adds. What the model said is kept in a file as it is said, so that a run of an
hour that was interrupted goes on.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from io import BytesIO
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from llmrec.evaluation.interactions import NO_TIME, Interactions, Rows, Sequences
from llmrec.evaluation.protocols import Requests
from llmrec.files import replace_file
from llmrec.ranking import Fusion, Ranker
from llmrec.records import Candidate, Event, History, Item, User
from llmrec.retrieval import Retriever

__all__ = ["JudgedLists", "ListOrder", "histories_of", "judge_lists"]

Floats = NDArray[np.float64]
Order = Literal["retriever", "control", "llm", "fused"]

_KEPT_EVERY = 50
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True, eq=False)
class JudgedLists:
    """Candidates of each request, and what each part of a workspace says of them.

    Args:
        rows: Item rows, int64 [n, k], filled up with -1.
        retriever: The sequence encoder's score, float64 [n, k].
        control: The score with evidence.
        llm: The language model's log-odds; None: it was not asked.
        fusion: How both are added.
    """

    rows: Rows
    retriever: Floats
    control: Floats
    llm: Floats | None
    fusion: Fusion

    def scores(self, order: Order) -> Floats:
        """What the lists are ordered by, [n, k]."""
        if order == "retriever":
            return self.retriever
        if order == "control":
            return self.control
        assert self.llm is not None, "the language model was not asked"
        if order == "llm":
            return self.llm
        return self.fusion.retrieval_weight * self.control + self.fusion.llm_weight * self.llm

    def probabilities(self, order: Literal["control", "fused"], cutoff: int) -> Floats:
        """The calibrated chance of each of the first items of the order, [n, cutoff]; NaN where a list is shorter."""
        scores = np.where(self.rows >= 0, self.scores(order), -np.inf)
        first = -np.sort(-scores, axis=1)[:, :cutoff]
        fused = order == "fused"
        calibration = self.fusion.fused if fused else self.fusion.retrieval_only
        weight = 1.0 if fused else self.fusion.retrieval_weight
        chances = calibration.probabilities(weight * np.where(np.isfinite(first), first, 0.0))
        return np.where(np.isfinite(first), chances, np.nan)

    def ordered(self, order: Order) -> Rows:
        """Item rows, best first, int64 [n, k]."""
        return _ordered(self.rows, self.scores(order))


class ListOrder:
    """Lists in one order as a system under test.

    Args:
        name: What the report calls it.
        rows: The lists of the requests it will be asked for: item rows, int64 [n, k], filled up with -1.
        scores: What they are ordered by, highest first, float64 [n, k].
    """

    def __init__(self, name: str, rows: Rows, scores: Floats) -> None:
        self.name = name
        self._rows = _ordered(rows, scores)

    def fit(self, training: Interactions) -> None:
        """Nothing: it was fitted before."""

    def rank(self, requests: Requests, k: int) -> Rows:
        """The k best items of each request, int64 [n, k]; the lists are all it has."""
        assert len(self._rows) == len(requests)
        short = max(0, k - self._rows.shape[1])
        return np.pad(self._rows, ((0, 0), (0, short)), constant_values=-1)[:, :k]


def _ordered(rows: Rows, scores: Floats) -> Rows:
    listed = np.where(rows >= 0, scores, -np.inf)
    return np.take_along_axis(rows, np.argsort(-listed, axis=1, kind="stable"), axis=1)


def judge_lists(
    retriever: Retriever,
    ranker: Ranker | None,
    fusion: Fusion,
    histories: Sequence[History],
    item_ids: Sequence[str],
    *,
    candidates: int,
    answers: Rows | None = None,
    kept: Path | None = None,
    progress: bool = False,
) -> JudgedLists:
    """Ask a workspace's parts about each history.

    Args:
        retriever: With its evidence.
        ranker: Asks the language model; None: nobody does.
        fusion: How the two are added.
        histories: Of whom.
        item_ids: The items, by row.
        candidates: How many are retrieved.
        answers: The item row that each history goes on with, int64 [n]: the model is asked only about lists that hold
            it, because no order of the others finds it. Elsewhere it says 0. None: it is asked about all.
        kept: A file of what the model said before, which is gone on from.
        progress: Show bars on a terminal.
    """
    places = {item_id: row for row, item_id in enumerate(item_ids)}
    alone, items = retriever.with_evidence(None), retriever.catalogue.items
    rows = np.full((len(histories), min(candidates, len(item_ids))), -1, np.int64)
    encoder, control = np.zeros(rows.shape), np.zeros(rows.shape)
    proposed: list[Sequence[Candidate]] = []
    for place, history in enumerate(tqdm(histories, unit=" lists", leave=False, disable=None if progress else True)):
        found = alone.retrieve(history, candidates, excluded=history.seen).candidates
        found_ids = [one.item.item_id for one in found]
        rows[place, : len(found)] = [places[item_id] for item_id in found_ids]
        encoder[place, : len(found)] = [one.score for one in found]
        proposed.append(retriever.score(history, found_ids).candidates if found else ())
        control[place, : len(found)] = [one.score for one in proposed[-1]]
    said = None
    if ranker is not None:
        worth = np.ones(len(rows), bool) if answers is None else (rows == answers[:, None]).any(axis=1)
        listed = [one if ask else () for one, ask in zip(proposed, worth, strict=True)]
        asked = list(zip(histories, listed, strict=True))
        said = _said(ranker, items, asked, width=rows.shape[1], kept=kept, progress=progress)
    return JudgedLists(rows, encoder, control, said, fusion)


def _said(
    ranker: Ranker,
    items: Mapping[str, Item],
    asked: Sequence[tuple[History, Sequence[Candidate]]],
    *,
    width: int,
    kept: Path | None,
    progress: bool,
) -> Floats:
    """The model's log-odds, [n, k], filled up with 0; what was asked before is read."""
    said = np.full((len(asked), width), np.nan)
    done = 0
    if kept is not None and kept.is_file():
        said = np.load(kept, allow_pickle=False)
        done = int(np.isfinite(said[:, 0]).sum())
    with tqdm(total=len(asked), initial=done, unit=" lists", disable=None if progress else True) as bar:
        for place, (history, listed) in enumerate(asked[done:], done):
            said[place] = 0.0
            if listed:
                said[place, : len(listed)] = ranker.score(ranker.shared(history, items), listed)[0]
            bar.update()
            if kept is not None and (place % _KEPT_EVERY == 0 or place + 1 == len(asked)):
                _keep(kept, said)
    return said


def _keep(path: Path, said: Floats) -> None:
    buffer = BytesIO()
    np.save(buffer, said, allow_pickle=False)
    replace_file(path, buffer.getvalue())


def histories_of(
    requests: Requests, interactions: Interactions, users: Mapping[str, User], *, longest: int
) -> Iterator[History]:
    """What is known of each request's user, as a request to a workspace sees it.

    Args:
        requests: What is asked.
        interactions: The users, the items and the kinds of events.
        users: What is known of users beside what they did.
        longest: How many of a user's newest events are looked at.
    """
    events = requests.histories
    for row, start, stop in zip(requests.users, events.indptr[:-1], events.indptr[1:], strict=True):
        user_id = interactions.user_ids[row]
        newest = range(max(start, stop - longest), stop)
        known = tuple(_event(user_id, interactions, events, place) for place in newest)
        seen = frozenset(interactions.item_ids[item] for item in events.rows[start:stop])
        yield History(users.get(user_id) or User(user_id), known, seen, int(stop - start))


def events_of(interactions: Interactions) -> Iterator[Event]:
    """All events, user after user, oldest first."""
    events = interactions.sequences
    for user_id, start, stop in zip(interactions.user_ids, events.indptr[:-1], events.indptr[1:], strict=True):
        yield from (_event(user_id, interactions, events, place) for place in range(start, stop))


def _event(user_id: str, interactions: Interactions, events: Sequences, place: int) -> Event:
    value = None if events.values is None or np.isnan(events.values[place]) else float(events.values[place])
    time = None if events.times is None or events.times[place] == NO_TIME else int(events.times[place])
    return Event(
        user_id,
        interactions.item_ids[events.rows[place]],
        "view" if events.kinds is None else interactions.kind_names[events.kinds[place]],
        value=value,
        timestamp=None if time is None else _EPOCH + timedelta(microseconds=time),
    )


def digest_of(*parts: object) -> str:
    """A short name for what makes a result."""
    return hashlib.sha256(json.dumps(parts, sort_keys=True, default=str).encode()).hexdigest()[:32]
