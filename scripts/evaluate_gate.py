"""Measure how often the gate lets a new release pass that is better, no better, poisoned or pushed, seed by seed.

    python scripts/evaluate_gate.py --seeds 10 --json gate.json

MovieLens-100K in the order of time, for each seed other users, other poison and other random numbers; no language
model, a small encoder. Retrained by `llmrec.learning.retrain` as an operator would, each case against a champion:

- better: the champion knows the first fifth of the events, the challenger all of them.
- equal: the champion knows all events; another one learns the same with another seed.
- poisoned: the champion of `equal`; the challenger learns the rest with some items replaced and some ratings turned.
- pushed: as `better`, and 250 accounts made for it each take a few popular items and then one that few people took.
  What the challenger learns is worth going live for, so that the gate has to see the push. `newcomer_quota` is off.
- busy: the same, with accounts that take twenty items each.
- quota: as `pushed`, with `newcomer_quota` as it is by default: the gate may let it pass, if the item does not rise.
- busy_quota: the same against the busy accounts, who are first to fill a quota.

Each case is kept in a file, so that a second call goes on where the first one stopped.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import shutil
import sys
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from llmrec import Event, Item, Recommender
from llmrec.artifacts import cache_dir
from llmrec.config import OWN_STORE
from llmrec.data import fetch_dataset
from llmrec.evaluation.description import describe_environment
from llmrec.files import replace_file
from llmrec.learning import Retraining, retrain
from llmrec.service.printing import print_table

CASES = ("better", "equal", "poisoned", "pushed", "busy", "quota", "busy_quota")
_KNOWN = 0.2
"""A champion that knew half of the events is little worse than one that knows them all: .01 N@10 here."""
_FAKES = 250
_POISONED = 0.075
_ASKED = 100
"""Real users whose lists show what a push came to."""


class HashedWords:
    """Texts as counts of their words: what the gate sees does not hang on how well titles are read."""

    name = "hashed-words"
    fingerprint = "hashed-words-1"
    dimension = 64

    def encode(self, texts: Sequence[str], *, progress: bool = False) -> NDArray[np.float32]:  # noqa: ARG002
        """Float32 [len(texts), dimension], rows of unit length."""
        vectors = np.full((len(texts), self.dimension), 0.01, np.float32)
        for vector, text in zip(vectors, texts, strict=True):
            for word in text.casefold().split():
                vector[int(_hash(word), 16) % self.dimension] += 1
        return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


@dataclass(frozen=True, slots=True)
class World:
    """One seed's: the users' events by time, and what may be done to the later part.

    Args:
        seed: Of all that is random.
        items: The catalogue.
        known: What the first champion knows.
        batch: What came later.
        pushed: The item that somebody wants on every list.
    """

    seed: int
    items: Sequence[Item]
    known: Sequence[Event]
    batch: Sequence[Event]
    pushed: str

    @classmethod
    def of(cls, seed: int, items: Sequence[Item], events: Sequence[Event], users: int) -> World:
        """Other users for each seed; the item is one that few of them took."""
        wanted = set(sorted({event.user_id for event in events}, key=lambda one: _hash(f"{seed}/{one}"))[:users])
        some = [event for event in events if event.user_id in wanted]
        known = int(len(some) * _KNOWN)
        counts = Counter(str(event.item_id) for event in some[:known])
        few = sorted(item_id for item_id, count in counts.items() if 3 <= count <= 20)
        return cls(seed, items, some[:known], some[known:], str(np.random.default_rng(seed).choice(few)))

    def poisoned(self) -> list[Event]:
        """The later part with some items replaced by any other one, and their ratings turned round."""
        draw, ids = np.random.default_rng([self.seed, 1]), [item.item_id for item in self.items]
        hit = draw.random(len(self.batch)) < _POISONED
        return [
            replace(event, item_id=str(draw.choice(ids)), value=6 - (event.value or 3)) if is_hit else event
            for event, is_hit in zip(self.batch, hit, strict=True)
        ]

    def with_fakes(self, fewest: int, most: int) -> list[Event]:
        """The later part, and accounts strewn over it that take popular items and then the pushed one."""
        draw = np.random.default_rng([self.seed, 2])
        popular = [item_id for item_id, _ in Counter(str(one.item_id) for one in self.known).most_common(100)]
        made: list[tuple[int, list[Event]]] = []
        for number in range(_FAKES):
            place = int(draw.integers(len(self.batch)))
            taken = [*draw.permutation(popular)[: draw.integers(fewest, most + 1)].tolist(), self.pushed]
            when = self.batch[place].timestamp
            made.append((place, [Event(f"fake{number}", one, "rating", 5.0, timestamp=when) for one in taken]))
        at = {place: [one for where, events in made if where == place for one in events] for place, _ in made}
        return [one for place, event in enumerate(self.batch) for one in (*at.get(place, ()), event)]


class Runs:
    """The cases of one seed, each in a workspace of its own that begins as a copy of the first.

    Args:
        world: The seed's.
        home: Keeps workspaces until all is done, and the results.
        common: A workspace with the items alone, and their vectors.
        encoder: Of texts.
    """

    def __init__(self, world: World, home: Path, common: Path, encoder: HashedWords) -> None:
        self._world = world
        self._home = home
        self._common = common
        self._encoder = encoder
        home.mkdir(parents=True, exist_ok=True)

    def results(self, cases: Sequence[str]) -> dict[str, Any]:
        """What came of each case, from its file where it was played before."""
        found = {}
        for case in cases:
            path = self._home / f"{case}.json"
            if not path.exists():
                began = time.monotonic()
                played = {**getattr(self, f"_{case}")(), "seconds": round(time.monotonic() - began, 1)}
                replace_file(path, json.dumps(played).encode())
                print(f"seed {self._world.seed} {case}: {played['reason']}", file=sys.stderr, flush=True)
            found[case] = json.loads(path.read_bytes())
        if set(cases) == set(CASES):
            for directory in filter(Path.is_dir, self._home.iterdir()):
                shutil.rmtree(directory)
        return found

    def _better(self) -> dict[str, Any]:
        return self._retrained("better", self._world.batch, seed=1)

    def _equal(self) -> dict[str, Any]:
        self._make_whole()
        with self._opened("whole", seed=2) as rec:
            return self._told(rec, _run(rec))

    def _poisoned(self) -> dict[str, Any]:
        self._make_whole()
        root = self._copy("poisoned")
        # The champion knows these events as they were before somebody changed them.
        shutil.copytree(self._home / "whole" / "releases", root / "releases", dirs_exist_ok=True)
        shutil.rmtree(root / "releases" / "rank" / "0005", ignore_errors=True)
        with self._opened("poisoned", seed=3) as rec:
            rec.add_events(self._world.poisoned())
            rec.releases.promote("rank/0004")
            return self._told(rec, _run(rec))

    def _pushed(self) -> dict[str, Any]:
        return self._retrained("pushed", self._world.with_fakes(3, 8), seed=4, quota=0.0)

    def _busy(self) -> dict[str, Any]:
        return self._retrained("busy", self._world.with_fakes(18, 22), seed=5, quota=0.0)

    def _quota(self) -> dict[str, Any]:
        return self._retrained("quota", self._world.with_fakes(3, 8), seed=4)

    def _busy_quota(self) -> dict[str, Any]:
        return self._retrained("busy_quota", self._world.with_fakes(18, 22), seed=5)

    def _make_whole(self) -> None:
        """A champion of all events but the answers that are asked about next, so that the next one knows no more.

        Made without a quota, which would leave some events for the next release, and twice: the first one withholds
        several answers of the few accounts that were there before.
        """
        if not (self._home / "whole" / "made").exists():
            self._copy("whole")
            with self._opened("whole", seed=1, quota=0.0) as rec:
                rec.add_events(self._world.batch)
                for _ in range(2):
                    rec.releases.promote(_run(rec).release.version)
            (self._home / "whole" / "made").touch()

    def _retrained(self, case: str, batch: Sequence[Event], **settings: float) -> dict[str, Any]:
        self._copy(case)
        with self._opened(case, **settings) as rec:
            rec.add_events(batch)
            return self._told(rec, _run(rec))

    def _told(self, rec: Recommender, run: Retraining) -> dict[str, Any]:
        """The verdict, and who sees the pushed item and others."""
        lists = self._lists(rec, run.release.version)
        share = lists[self._world.pushed] / _ASKED
        return {**run.verdict.to_dict(), "share": share, "lists": lists}

    def _lists(self, rec: Recommender, version: str) -> Counter[str]:
        """On how many of some real users' lists each item is among the first ten."""
        user_ids = sorted({event.user_id for event in self._world.batch}, key=_hash)[:_ASKED]
        named = rec.at(version)
        return Counter(one.item.item_id for user_id in user_ids for one in named.recommend(user_id, 10).items)

    def _copy(self, case: str) -> Path:
        ready = self._home / "first" / "ready"
        if not ready.exists():
            shutil.rmtree(self._home / "first", ignore_errors=True)
            shutil.copytree(self._common, self._home / "first")
            with self._opened("first") as rec:
                rec.add_events(self._world.known)
                _run(rec)
                # Only what is made beside a champion withholds answers, as every later one is.
                rec.releases.promote(_run(rec).release.version)
            ready.touch()
        shutil.rmtree(self._home / case, ignore_errors=True)
        return Path(shutil.copytree(self._home / "first", self._home / case))

    def _opened(self, case: str, *, seed: float = 0, quota: float | None = None) -> Recommender:
        learning = {} if quota is None else {"newcomer_quota": quota}
        settings = {"fit": {"seed": 100 * self._world.seed + int(seed)}, "learning": learning, **OWN_STORE}
        return Recommender.open(self._home / case, settings, encoder=self._encoder)


def main() -> int:
    """Run once."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--users", type=int, default=500)
    parser.add_argument("--epochs", type=int, default=5)
    parser.add_argument("--cases", nargs="+", choices=CASES, default=CASES)
    parser.add_argument("--kept", type=Path, default=cache_dir() / "evaluation" / "gate", help="keeps finished cases")
    parser.add_argument("--json", type=Path, metavar="OUT")
    options = parser.parse_args()
    encoder = HashedWords()
    items, events = _log(options.kept, encoder, options.epochs)
    found = []
    for seed in range(options.seeds):
        world = World.of(seed, items, events, options.users)
        home = options.kept / f"{options.users}-{options.epochs}-{seed}"
        found.append(Runs(world, home, _common(options.kept, options.epochs), encoder).results(options.cases))
    report = {
        "data": "MovieLens-100K",
        "users": options.users,
        "epochs": options.epochs,
        "environment": describe_environment(),
        "cases": {case: summary([of_seed[case] for of_seed in found]) for case in options.cases},
        "shares": shares(found),
    }
    if options.json:
        replace_file(options.json, json.dumps(report, indent=2).encode())
    rows = [
        [case, str(one["passed"]), ", ".join(f"{name} {count}" for name, count in one["refused_by"].items()),
         f"{one['difference']:+.4f}"]
        for case, one in report["cases"].items()
    ]  # fmt: skip
    print_table(f"{options.seeds} seeds", ["case", "passed", "refused by", "N@10"], rows)
    print_table("the pushed item", ["what", "mean"], [[name, f"{one:.4f}"] for name, one in report["shares"].items()])
    return 0


def summary(runs: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """How often it passed, what refused it otherwise, and its mean gain."""
    return {
        "passed": sum(run["passed"] for run in runs),
        "of": len(runs),
        "refused_by": dict(Counter(name for run in runs for name in run["refused_by"])),
        "difference": float(np.mean([run["comparison"]["difference"] for run in runs])),
        "seconds": float(np.mean([run["seconds"] for run in runs])),
        "reasons": [run["reason"] for run in runs],
    }


def shares(found: Sequence[Mapping[str, Mapping[str, Any]]]) -> dict[str, float]:
    """The pushed item's share of lists with and without the push, and what two seeds of one release differ by."""
    cases = [case for case in CASES if case not in ("equal", "poisoned") and all(case in one for one in found)]
    shown = {case: float(np.mean([one[case]["share"] for one in found])) for case in cases}
    if all({"better", "equal"} <= set(one) for one in found):
        apart = [abs(one["equal"]["lists"].get(key, 0) - one["better"]["lists"].get(key, 0))
                 for one in found for key in {**one["equal"]["lists"], **one["better"]["lists"]}]  # fmt: skip
        shown["two seeds differ by, an item"] = float(np.mean(apart)) / _ASKED
    return shown


def _run(rec: Recommender) -> Retraining:
    # Not from the live encoder: whoever trains longer would be better.
    run = retrain(rec, anew=True, progress=False)
    assert run is not None, "an evaluation runs in one process"
    return run


def _common(kept: Path, epochs: int) -> Path:
    return kept / f"items-{epochs}"


def _log(kept: Path, encoder: HashedWords, epochs: int) -> tuple[list[Item], list[Event]]:
    """The catalogue and all events by time; a workspace with the items and their vectors lies beside."""
    root = _common(kept, epochs)
    settings = {
        "ranking": {"enabled": False},
        "feedback": {"record": False},
        **OWN_STORE,
        "encoder": {"dimension": 32, "layers": 1, "max_events": 50, "epochs": epochs, "learning_rate": 3e-3},
    }
    folder = str(fetch_dataset("ml-100k"))
    whole = kept / "whole"
    if not (kept / f"{epochs}.ready").exists():
        for path, given in ((root, {"items": folder}), (whole, {"items": folder, "events": folder})):
            shutil.rmtree(path, ignore_errors=True)
            with Recommender.create(path, settings, encoder=encoder) as rec:
                rec.import_(**given)
                if path == root:
                    rec.catalogue()
        (kept / f"{epochs}.ready").touch()
    with Recommender.open(whole, OWN_STORE, encoder=encoder) as rec:
        return list(rec.items()), sorted(_plain(rec.store.events_by_user()), key=lambda one: str(one.timestamp))


def _plain(events: Iterator[Event]) -> Iterator[Event]:
    return (replace(event, sequence=None) for event in events)


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


if __name__ == "__main__":
    sys.exit(main())
