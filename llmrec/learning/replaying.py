"""A log played again in time order, as the loop would have lived it, under several policies.

The first events are what everybody knows. Then comes block after block: a policy answers requests of the block, each
from what was known just before it; then it learns the block, or not. What a user really did next is what counts.

- still: the first release answers to the end, from what it knew of each user; what they took since is left out alone.
- frozen: the first release answers to the end. What a user does acts on their next request: online updates alone.
- anew: after each block everything is fitted anew, on all events so far.
- evolving: after each block the release is fitted on from the one before.
- adapter-anew, adapter-evolving, adapter-pulled: as anew, and an adapter of the language model is trained on all events
  so far: from the base; from the last one; from the last one with a pull to what that said (PESO, ICLR 2026).

Each policy has a workspace of its own until it is played out. Each block's result is kept in a file, so that an
interrupted replay goes on at its block.
"""

from __future__ import annotations

import hashlib
import json
import math
import shutil
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from filelock import FileLock, Timeout
from tqdm import tqdm

from llmrec.errors import BusyError, ConfigError, DataError
from llmrec.evaluation.uncertainty import Comparison, Interval, intervals, paired
from llmrec.files import replace_file
from llmrec.learning.policies import ADAPTED, PLAIN, Policy, home_of, learn, settings_of
from llmrec.ranking import FusedRanker
from llmrec.recommender import Recommender
from llmrec.records import Event, History, User

__all__ = ["BlockResult", "Replay", "ReplayOptions", "replay"]

_CUTOFF = 10
_FEWEST = 10
"""Events a block."""


@dataclass(frozen=True, slots=True)
class ReplayOptions:
    """How to play.

    Args:
        blocks: How many there are, of equally many events.
        requests: Of each block so many events, drawn at random, are foretold.
        warm_up: The share of the events that the first release is fitted on.
        policies: Which.
        seed: Of the draw.
        llm: Whether the language model ranks.
    """

    blocks: int = 5
    requests: int = 500
    warm_up: float = 0.5
    policies: tuple[Policy, ...] = PLAIN
    seed: int = 0
    llm: bool = False


@dataclass(frozen=True, slots=True)
class BlockResult:
    """What a policy answered in a block, request by request.

    Args:
        ndcg: N@10 of the item that was taken next.
        clicks: The share of the list's places whose items the user took in the rest of the block.
        release: Which answered.
    """

    ndcg: list[float]
    clicks: list[float]
    release: str


@dataclass(frozen=True, slots=True)
class Replay:
    """What came of it.

    Args:
        options: How it was played.
        events: How many events there were.
        blocks: Policy -> block -> result.
    """

    options: ReplayOptions
    events: int
    blocks: dict[str, list[BlockResult]]

    def values(self, policy: str, metric: str, first: int = 0) -> np.ndarray:
        """Of every request from a block on, float64 [requests]."""
        return np.concatenate([np.array(getattr(one, metric)) for one in self.blocks[policy][first:]])

    def curve(self, policy: str, metric: str) -> list[Interval]:
        """Of each block the mean with its interval; none where nothing new was taken."""
        found = [np.array(getattr(one, metric)) for one in self.blocks[policy]]
        return [intervals(one[:, None])[0] if len(one) else Interval(None, None, None) for one in found]

    def over(self, policy: str, other: str = "frozen", metric: str = "ndcg") -> Comparison | None:
        """By how much a policy is better than another one from the second block on; None: nobody was asked there."""
        if policy == other or other not in self.blocks or self.options.blocks == 1:
            return None
        first, second = self.values(policy, metric, 1), self.values(other, metric, 1)
        return paired(first[:, None], second[:, None])[0] if len(first) else None

    def to_dict(self) -> dict[str, Any]:
        """The JSON form."""
        pairs = [(policy, "frozen") for policy in self.blocks]
        pairs += [(policy, "anew") for policy in self.blocks if policy in ADAPTED]
        return {
            "options": asdict(self.options),
            "events": self.events,
            "policies": {
                policy: {metric: [one.to_dict() for one in self.curve(policy, metric)] for metric in ("ndcg", "clicks")}
                | {"releases": [one.release for one in found]}
                for policy, found in self.blocks.items()
            },
            "paired": {
                f"{policy}-{other}": {metric: found.to_dict() for metric, found in compared.items()}
                for policy, other in pairs
                if (compared := self._compared(policy, other))
            },
        }

    def _compared(self, policy: str, other: str) -> dict[str, Comparison]:
        found = {metric: self.over(policy, other, metric) for metric in ("ndcg", "clicks")}
        return {metric: one for metric, one in found.items() if one is not None}


def replay(
    rec: Recommender, directory: Path, options: ReplayOptions | None = None, *, progress: bool = False
) -> Replay:
    """Play a workspace's log again under each policy.

    Args:
        rec: Holds the log; it is only read.
        directory: Where the policies' workspaces and results are kept, by what was asked.
        options: How.
        progress: Show bars on a terminal.

    Raises:
        ConfigError: There is nothing to play.
        DataError: There are too few events, or some have no time; or too little behaviour to train an adapter on.
        ModelError: The language model cannot be trained.
        BusyError: Another process plays the same.
    """
    wanted = options or ReplayOptions()
    if wanted.blocks < 1 or wanted.requests < 1 or not 0 < wanted.warm_up < 1:
        raise ConfigError(
            f"there is nothing to play: {wanted.blocks} blocks, {wanted.requests} requests, warm-up {wanted.warm_up}",
            hint="give at least one block and one request, and a warm-up between 0 and 1",
        )
    adapted = [policy for policy in wanted.policies if policy in ADAPTED]
    if adapted and not wanted.llm:
        raise ConfigError(f"{adapted[0]} trains the language model, which does not rank", hint="add --llm (llm=True)")
    log = _log(rec, wanted)
    stage = _Stage(rec, log, wanted, directory / _name(rec, log, wanted), progress)
    with stage.alone():
        return Replay(wanted, len(log), {policy: stage.play(policy) for policy in wanted.policies})


def _log(rec: Recommender, options: ReplayOptions) -> list[Event]:
    """All events of users who may be learnt from, oldest first."""
    silent = {user.user_id for user in rec.users() if not user.teaches}
    events = [event for event in rec.store.events_by_user() if event.user_id not in silent and event.is_behaviour]
    if any(event.timestamp is None for event in events):
        raise DataError("some events have no time", hint="import the log with its timestamps")
    if len(events) * (1 - options.warm_up) < _FEWEST * options.blocks:
        raise DataError(f"{len(events)} events are too few for {options.blocks} blocks", hint="play fewer blocks")
    return sorted(events, key=lambda event: (event.timestamp, event.sequence))


def _name(rec: Recommender, log: Sequence[Event], options: ReplayOptions) -> str:
    """Another log, another cut or other settings are another replay."""
    cut = {name: value for name, value in asdict(options).items() if name != "policies"}
    settings = rec.settings.model_dump(mode="json", exclude={"store", "learning"})
    events = [[event.event_id, event.item_id, event.kind, event.value, str(event.timestamp)] for event in log]
    items = [[item.item_id, item.text] for item in rec.items()]
    users = [[user.user_id, repr(user.attributes)] for user in rec.users()]
    told = json.dumps([cut, settings, events, items, users, rec.reads_by()], sort_keys=True).encode()
    return hashlib.sha256(told).hexdigest()[:16]


@dataclass(frozen=True)
class _Request:
    """One event that is foretold: its place in the log, and what else its user takes until the block ends."""

    place: int
    taken: frozenset[str]


class _Stage:
    """The log, cut into blocks, and the policies that play it."""

    def __init__(
        self, rec: Recommender, log: Sequence[Event], options: ReplayOptions, directory: Path, progress: bool
    ) -> None:
        self._rec = rec
        self._log = log
        self._options = options
        self._directory = directory
        self._progress = progress
        first = round(len(log) * options.warm_up)
        self._ends = np.linspace(first, len(log), options.blocks + 1).round().astype(int).tolist()
        self._users = {user.user_id: user for user in rec.users()}
        self._first = self._past(first)

    @contextmanager
    def alone(self) -> Iterator[None]:
        """No other process plays the same; what all policies began with goes when they are played out."""
        self._directory.mkdir(parents=True, exist_ok=True)
        try:
            with FileLock(self._directory / ".lock", timeout=0):
                yield
                shutil.rmtree(self._directory / "first", ignore_errors=True)
        except Timeout as error:
            raise BusyError("another process plays the same replay", hint="wait until it has ended") from error

    def play(self, policy: Policy) -> list[BlockResult]:
        """All blocks; those that were played before are read."""
        home = self._directory / home_of(policy, self._rec.settings)
        paths = [home / f"block-{block}.json" for block in range(self._options.blocks)]
        if not all(path.is_file() for path in paths):
            with self._workspace(home, policy) as own:
                for block, path in enumerate(paths):
                    if not path.is_file():
                        self._learn(own, policy, block)
                        replace_file(path, json.dumps(asdict(self._answer(own, policy, block))).encode())
            # Whoever is forgotten must not live on in a copy.
            shutil.rmtree(home / "workspace")
        return [BlockResult(**json.loads(path.read_bytes())) for path in paths]

    def _workspace(self, home: Path, policy: Policy) -> Recommender:
        """The policy's own, with the first release; the first policy makes that for all."""
        root, common = home / "workspace", self._directory / "first"
        if not (common / "ready").exists():
            self._make_first(common)
        if not (root / "llmrec.toml").exists():
            shutil.rmtree(root, ignore_errors=True)
            half = home / "half"
            shutil.rmtree(half, ignore_errors=True)
            shutil.copytree(common / "workspace", half)
            half.rename(root)
        return self._rec.beside(root, settings_of(policy, self._rec.settings, llm=self._options.llm))

    def _make_first(self, common: Path) -> None:
        shutil.rmtree(common / "workspace", ignore_errors=True)
        settings = settings_of("frozen", self._rec.settings, llm=self._options.llm)
        with self._rec.beside(common / "workspace", settings, create=True) as first:
            first.add_users(self._users.values())
            first.add_items(self._rec.items())
            first.add_events(_plain(event) for event in self._log[: self._ends[0]])
            first.fit(progress=self._progress)
        (common / "ready").touch()

    def _learn(self, own: Recommender, policy: Policy, block: int) -> None:
        """What is done with the events before a block."""
        start, stop = self._ends[max(0, block - 1)], self._ends[block]
        own.add_events(_plain(event) for event in self._log[start:stop])
        champion = own.releases.champion()
        # A run that was interrupted after its fit has learnt this already.
        learnt = champion is not None and champion.learnt == own.store.last_sequence()
        if block and not learnt:
            learn(own, policy, progress=self._progress)

    def _answer(self, own: Recommender, policy: Policy, block: int) -> BlockResult:
        start, stop = self._ends[block], self._ends[block + 1]
        asked = {one.place: one for one in self._requests(start, stop)}
        champion = own.releases.champion()
        assert champion is not None
        result, past = BlockResult([], [], champion.version), self._past(start)
        bar = tqdm(range(start, stop), desc=f"block {block + 1}", disable=None if self._progress else True, leave=False)
        for place in bar:
            event = self._log[place]
            if place in asked:
                history = self._history(own, policy, event.user_id, past[event.user_id])
                listed = self._list(own, event, history)
                result.ndcg.append(_ndcg(listed, str(event.item_id)))
                result.clicks.append(sum(one in asked[place].taken for one in listed) / _CUTOFF)
            past[event.user_id].append(event)
        return result

    def _list(self, own: Recommender, event: Event, history: History) -> list[str]:
        """What would have been shown just before an event."""
        retriever, fused = own.answering()
        found = retriever.retrieve(history, own.settings.retrieval.candidates, excluded=history.seen | history.hidden)
        pushback = None if fused.pushback is None else replace(fused.pushback, now=event.timestamp)
        ranked = FusedRanker(fused.fusion, fused.ranker, pushback).order(history, found, own.catalogue().items)
        return [one.item.item_id for one in ranked.items[:_CUTOFF]]

    def _requests(self, start: int, stop: int) -> Iterator[_Request]:
        """Some events of a block on items that were new to their users."""
        met: dict[str, set[str]] = defaultdict(set)
        for event in self._log[:start]:
            met[event.user_id].add(str(event.item_id))
        new = []
        for place in range(start, stop):
            event = self._log[place]
            if event.is_taking and event.item_id not in met[event.user_id]:
                new.append(place)
            met[event.user_id].add(str(event.item_id))
        generator = np.random.default_rng([self._options.seed, start])
        chosen = sorted(generator.permutation(new)[: self._options.requests].tolist())
        wanted = set(chosen)
        later: dict[str, set[str]] = defaultdict(set)
        for place in range(stop - 1, start - 1, -1):
            event = self._log[place]
            if event.is_taking:
                later[event.user_id].add(str(event.item_id))
            if place in wanted:
                yield _Request(place, frozenset(later[event.user_id]))

    def _past(self, start: int) -> defaultdict[str, list[Event]]:
        past: defaultdict[str, list[Event]] = defaultdict(list)
        for event in self._log[:start]:
            past[event.user_id].append(event)
        return past

    def _history(self, own: Recommender, policy: Policy, user_id: str, events: Sequence[Event]) -> History:
        """What was known of a user then, or to a policy that stands still when it began."""
        longest = own.settings.retrieval.history_events
        seen = frozenset(str(event.item_id) for event in events if event.item_id)
        last = {event.item_id: event.kind for event in events if event.kind in Event.HIDING | Event.SHOWING}
        hidden = frozenset(str(one) for one, kind in last.items() if kind in Event.HIDING)
        user = self._users.get(user_id) or User(user_id)
        told = self._first[user_id] if policy == "still" else events
        return History(user, tuple(told[-longest:]), seen, len(told), hidden)


def _plain(event: Event) -> Event:
    """An event as its source had it."""
    return replace(event, sequence=None, recommendation_id=None)


def _ndcg(listed: Sequence[str], taken: str) -> float:
    return 1 / math.log2(listed.index(taken) + 2) if taken in listed else 0.0
