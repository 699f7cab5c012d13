"""Measure how well the gate tells a better release from an equal one and from a poisoned one, on MovieLens-100K.

    python scripts/evaluate_gate.py --json gate.json

For each seed a release knows all events but the newest tenth, or all of them, and has to be beaten:

- `better`: it knows the older half of the events alone, the challenger all of them. It should pass.
- `equal`: both know the same events; another seed. It should not pass.
- `flipped`: a tenth of the newest tenth's items is swapped for others at random. It should not pass against the release
  that got it clean.
- `pushed`: the newest tenth comes with 250 users who took five popular items and then always the same unpopular one.

Releases are retrievers without a language model, trained for a few epochs: the gate is under test, not they. Takes an
hour on two cores; what was done is kept in the file that `--json` names, and a second call goes on.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from llmrec import Event, Item, Recommender
from llmrec.data import fetch_dataset
from llmrec.evaluation.description import describe_environment
from llmrec.files import replace_file
from llmrec.learning import retrain
from llmrec.models import Encoder, TextEncoder, resolve
from llmrec.service.printing import print_table, say

FAKES, POPULAR = 250, 5
NEW = 0.1
FLIPPED = 0.1
CASES = ("better", "equal", "flipped", "pushed")


def main() -> int:
    """Run, or go on."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--epochs", type=int, default=12, help="of each encoder (%(default)s)")
    parser.add_argument("--json", type=Path, metavar="OUT", required=True, help="keeps what was done, too")
    options = parser.parse_args()
    kept = json.loads(options.json.read_text()) if options.json.exists() else {"runs": {}}
    encoder = TextEncoder.load(resolve("all-minilm-l6-v2", "text-encoder"))
    data = read_data()
    for seed in range(1, options.seeds + 1):
        for case in CASES:
            name = f"{case}-{seed}"
            if name in kept["runs"]:
                continue
            kept["runs"][name] = run(case, seed, data, encoder, options.epochs)
            kept |= {"environment": describe_environment(), "epochs": options.epochs}
            replace_file(options.json, json.dumps(kept, indent=1).encode())
            say(f"{name}: {kept['runs'][name]['reason']}")
    show(kept["runs"])
    return 0


def read_data() -> tuple[list[Item], list[Event]]:
    """Items, and events in the order of their times."""
    folder = str(fetch_dataset("ml-100k"))
    with tempfile.TemporaryDirectory() as home, Recommender.create(Path(home) / "all") as rec:
        rec.import_(users=folder, items=folder, events=folder)
        events = [replace(event, sequence=None, event_id=None) for event in rec.store.events_by_user()]
        items = list(rec.items())
    return items, sorted(events, key=lambda event: (event.timestamp, event.user_id, event.item_id))  # type: ignore[arg-type, return-value]


def run(case: str, seed: int, data: tuple[list[Item], list[Event]], encoder: Encoder, epochs: int) -> dict[str, Any]:
    """One challenge."""
    items, events = data
    newest = events[-int(NEW * len(events)) :]
    known = events[: len(events) // 2] if case == "better" else events
    batch = {"better": events[len(events) // 2 :], "pushed": pushed(events, seed)}.get(case, [])
    settings = {"encoder": {"epochs": epochs}, "ranking": {"enabled": False}, "feedback": {"burst_seconds": 0}}
    with tempfile.TemporaryDirectory() as home:
        place = Path(home) / "clean"
        with Recommender.create(place, {**settings, "fit": {"seed": seed}}, encoder=encoder) as rec:
            rec.add_items(items)
            rec.add_events(known)
            champion = rec.fit(progress=False)
            rec.add_events(batch)
        if case == "flipped":  # another store, that has the swapped events; its users are asked about
            place = Path(home) / "flipped"
            with Recommender.create(place, settings, encoder=encoder) as rec:
                rec.add_items(items)
                rec.add_events([*events[: -len(newest)], *flipped(newest, items, seed)])
                rec.install(champion.directory)
        with Recommender.open(place, {"fit": {"seed": seed + 100}}, encoder=encoder) as rec:
            return told(rec, batch if case == "pushed" else [])


def told(rec: Recommender, batch: list[Event]) -> dict[str, Any]:
    """What the gate says."""
    before = rec.releases.champion()
    assert before is not None
    outcome = retrain(rec, progress=False)
    assert outcome is not None
    result: dict[str, Any] = {"passed": outcome.promoted, "reason": outcome.reason}
    if batch:
        target = str(batch[-1].item_id)
        users = [user.user_id for user in rec.users() if not user.user_id.startswith("fake")][:200]
        for name, release in (("before", before), ("after", outcome.release)):
            at = rec.at(release.version)
            result[name] = sum(
                target in {one.item.item_id for one in at.recommend(user).items} for user in users
            ) / len(users)
    return result


def flipped(events: list[Event], items: list[Item], seed: int) -> list[Event]:
    """A tenth of the events on another item, at random."""
    draw = np.random.default_rng(seed)
    swapped = draw.random(len(events)) < FLIPPED
    others = draw.integers(len(items), size=len(events))
    return [
        replace(event, item_id=items[other].item_id, event_id=None) if swap else event
        for event, swap, other in zip(events, swapped, others, strict=True)
    ]


def pushed(events: list[Event], seed: int) -> list[Event]:
    """Users who took popular items and then one that hardly anybody took."""
    draw = np.random.default_rng(seed)
    counts = Counter(str(event.item_id) for event in events)
    popular = [item_id for item_id, _ in counts.most_common(100)]
    rare = sorted(item_id for item_id, count in counts.items() if count == 5)
    target = rare[int(draw.integers(len(rare)))]
    return [
        Event(f"fake{user}", item_id, "rating", value=5)
        for user in range(FAKES)
        for item_id in [*(str(one) for one in draw.choice(popular, POPULAR, replace=False)), target]
    ]


def show(runs: dict[str, Any]) -> None:
    """How many passed."""
    rows = []
    for case in CASES:
        found = [one for name, one in runs.items() if name.startswith(case)]
        shares = [(one["before"], one["after"]) for one in found if "before" in one]
        moved = "" if not shares else " ".join(f"{np.mean(side):.3f}" for side in zip(*shares, strict=True))
        rows.append([case, str(len(found)), str(sum(one["passed"] for one in found)), moved])
    print_table("The gate", ["challenger", "seeds", "passed", "share of lists with the item, before and after"], rows)


if __name__ == "__main__":
    sys.exit(main())
