"""Time a retraining after fresh feedback: events on lists that are really recommended, then all that `retrain` does.

    python scripts/bench_retraining.py -w demo-ml-100k --events 200 --json retraining.json

The workspace is changed: the events stay, and the new release goes live if it is better. Its settings in [learning]
say how much is learnt; those that `llmrec demo` writes are sized for two cores.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from pathlib import Path

import numpy as np

from llmrec import Event, Recommender
from llmrec.evaluation.description import describe_environment
from llmrec.files import replace_file
from llmrec.learning import retrain
from llmrec.service.printing import print_table

_ANSWERS = ("click", "rating", "like", "dislike")
"""What each user does about four places of a list."""


def main() -> int:
    """Run once."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("-w", "--workspace", type=Path, required=True, metavar="DIR")
    parser.add_argument("--events", type=int, default=200, help="fresh ones (%(default)s)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", type=Path, metavar="OUT")
    options = parser.parse_args()
    with Recommender.open(options.workspace) as rec:
        add_events(rec, options.events, options.seed)
        start, cpu = time.perf_counter(), time.process_time()
        run = retrain(rec)
        assert run is not None, "several processes are not timed"
        took = {"seconds": time.perf_counter() - start, "cpu_seconds": time.process_time() - cpu}
        found = {"environment": describe_environment(), "fresh": options.events, **took, **run.to_dict()}
        sizes = rec.settings.learning.model_dump(
            include={"most_lists", "validation_lists", "gate_users", "last_layers"}
        )
    print_table(
        "A retraining", ["what", "how much"], [[name, f"{value:.0f}"] for name, value in (took | sizes).items()]
    )
    if options.json:
        replace_file(options.json, json.dumps({**found, "sizes": sizes}, indent=2).encode())
    return 0


def add_events(rec: Recommender, count: int, seed: int) -> None:
    """So many events, each on a place of a list that was recommended just before."""
    generator = np.random.default_rng(seed)
    users = generator.permutation([user.user_id for user in rec.users()]).tolist()
    for user_id in users[: -(-count // len(_ANSWERS))]:
        shown = rec.recommend(user_id, 10, llm=False)
        places = sorted(generator.permutation(len(shown.items))[: min(count, len(_ANSWERS))].tolist())
        count -= len(places)
        for place, kind in zip(places, _ANSWERS, strict=False):
            item_id, value = shown.items[place].item.item_id, 5.0 if kind == "rating" else None
            rec.feedback(Event(user_id, item_id, kind, value=value, recommendation_id=shown.id))


if __name__ == "__main__":
    sys.exit(main())
