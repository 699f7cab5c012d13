"""Time how fast feedback becomes durable: events a second, one by one and in batches, through the Python API.

    python scripts/bench_ingest.py --events 5000 --json ingest.json

Nothing is fitted; the store is the default one, in a temporary directory.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from llmrec import Event, Item, Recommender
from llmrec.config import OWN_STORE
from llmrec.evaluation.description import describe_environment
from llmrec.files import replace_file
from llmrec.service.printing import print_table

_ITEMS, _USERS, _ROUNDS = 1_000, 500, 3


def main() -> int:
    """Run once."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--events", type=int, default=5_000, help="a round (%(default)s)")
    parser.add_argument("--directory", type=Path, help="where the store lies; else a temporary directory")
    parser.add_argument("--json", type=Path, metavar="OUT")
    options = parser.parse_args()
    with (
        tempfile.TemporaryDirectory(dir=options.directory) as home,
        Recommender.create(Path(home) / "shop", OWN_STORE) as rec,
    ):
        rec.add_items(Item(str(number), f"Thing {number}") for number in range(_ITEMS))
        ways: dict[str, Callable[[list[Event]], object]] = {
            "feedback, one by one": lambda events: [rec.feedback(event) for event in events],
            "feedback_many, batches of 100": lambda events: [
                rec.feedback_many(events[start : start + 100]) for start in range(0, len(events), 100)
            ],
        }
        rates = {name: [_rate(way, options.events, seed) for seed in range(_ROUNDS)] for name, way in ways.items()}
        stored = rec.store.counts()["events"]
    assert stored == len(ways) * _ROUNDS * options.events, f"{stored} events are stored"
    print_table("Durable events a second", ["way", "median", "worst"], [
        [name, f"{np.median(found):.0f}", f"{min(found):.0f}"] for name, found in rates.items()
    ])  # fmt: skip
    if options.json:
        replace_file(options.json, json.dumps({"environment": describe_environment(), "rates": rates}).encode())
    return 0


def _rate(way: Callable[[list[Event]], object], count: int, seed: int) -> float:
    """Events a second of new ones."""
    draw = np.random.default_rng(seed).integers
    pairs = zip(draw(_USERS, size=count).tolist(), draw(_ITEMS, size=count).tolist(), strict=True)
    kinds = ("click", "like", "view")
    events = [
        Event(f"u{user}", str(item), kinds[place % 3], event_id=f"{id(way)}-{seed}-{place}")
        for place, (user, item) in enumerate(pairs)
    ]
    start = time.perf_counter()
    way(events)
    return count / (time.perf_counter() - start)


if __name__ == "__main__":
    sys.exit(main())
