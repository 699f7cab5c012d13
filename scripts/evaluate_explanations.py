"""Measure whether explanations are true: what happens to an item's score without the events that are named for it?

    python scripts/evaluate_explanations.py --users 200 --json explanations.json

On MovieLens-100K, through the public API alone: the first item of a list is explained; then it is scored again for
histories without the three strongest named events, without three others, with the named ones alone, and with none. Two
minutes without the language model (`--llm` asks it too: hours on a CPU; take fewer users).
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from llmrec import Event, Recommender
from llmrec.config import OWN_STORE
from llmrec.data import fetch_dataset
from llmrec.evaluation.description import describe_environment
from llmrec.evaluation.uncertainty import intervals
from llmrec.files import replace_file
from llmrec.releases import shipped_release
from llmrec.service.printing import print_table

_NAMED = 3
_FEWEST = 12


@dataclass(frozen=True)
class Case:
    """One item of one user: its score under changed histories.

    Args:
        whole: With all events.
        empty: With none.
        without: By who names them: without the three strongest events.
        only: With these alone.
        others: Without three others.
    """

    whole: float
    empty: float
    without: dict[str, float]
    only: dict[str, float]
    others: float


def main() -> int:
    """Run once."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--users", type=int, default=200)
    parser.add_argument("--events", type=int, default=20, help="the newest ones are the history (%(default)s)")
    parser.add_argument("--llm", action="store_true", help="let the language model rank")
    parser.add_argument("--json", type=Path, metavar="OUT")
    options = parser.parse_args()
    settings = {
        "ranking": {"enabled": options.llm, "attributes": 0, "history_tokens": 384},
        "models": {"dtype": "bfloat16"},
        "retrieval": {"history_events": options.events},
        **OWN_STORE,
    }
    with tempfile.TemporaryDirectory() as directory, Recommender.create(Path(directory) / "films", settings) as rec:
        folder = str(fetch_dataset("ml-100k"))
        rec.import_(users=folder, items=folder, events=folder)
        release = shipped_release("ml-100k")
        assert release is not None, "this checkout has no adapters/ml-100k"
        rec.install(release)
        cases = list(measured(rec, options.users))
    found = summary(cases)
    rows = [[name, *(f"{one[key]:.3f}" for key in ("value", "low", "high"))] for name, one in found.items()]
    print_table(f"{len(cases)} items, one a user; log-odds", ["what", "mean", "low", "high"], rows)
    for who in ("explanation", "attention"):
        print_table(who, ["what", "value"], [[name, f"{value:.2f}"] for name, value in ratios(cases, who).items()])
    if options.json:
        told = {who: ratios(cases, who) for who in ("explanation", "attention")}
        report = {"environment": describe_environment(), "users": len(cases), "means": found, "ratios": told}
        replace_file(options.json, json.dumps(report, indent=2).encode())
    return 0


def measured(rec: Recommender, most: int) -> Iterator[Case]:
    """One case for each user of a fixed sample."""
    user_ids = sorted(user.user_id for user in rec.users() if rec.store.event_count(user.user_id) >= _FEWEST)
    generator = np.random.default_rng(0)
    for place in generator.permutation(len(user_ids))[:most].tolist():
        yield case(rec, user_ids[place], generator)


def case(rec: Recommender, user_id: str, generator: np.random.Generator) -> Case:
    """Explain the first item of a user's list, and score it under changed histories."""
    item_id = rec.recommend(user_id, 1).items[0].item.item_id
    explanation, events = rec.explain(user_id, item_id), rec.history(user_id).events

    def score(history: Sequence[Event]) -> float:
        return rec.rank(history=list(history), candidates=[item_id], user_id=user_id)[0].score

    named = {
        "explanation": [str(one.item_id) for one in explanation.evidence if one.kind == "event" and one.strength > 0],
        "attention": [item for item, _ in explanation.trace.attention],
    }
    chosen = {who: set(item_ids[:_NAMED]) for who, item_ids in named.items()}
    rest = [event for event in events if event.item_id not in chosen["explanation"]]
    dropped = {event.item_id for event in generator.permutation(np.array(rest, object))[:_NAMED]}
    return Case(
        whole=score(events),
        empty=score([]),
        without={who: score([one for one in events if one.item_id not in ids]) for who, ids in chosen.items()},
        only={who: score([one for one in events if one.item_id in ids]) for who, ids in chosen.items()},
        others=score([one for one in events if one.item_id not in dropped]),
    )


def summary(cases: Sequence[Case]) -> dict[str, dict[str, float | None]]:
    """How far the score falls, on average."""
    falls = {
        "without the three named events": [one.whole - one.without["explanation"] for one in cases],
        "without the three of most attention": [one.whole - one.without["attention"] for one in cases],
        "without three others": [one.whole - one.others for one in cases],
        "without any event": [one.whole - one.empty for one in cases],
    }
    return {name: intervals(np.array(values)[:, None])[0].to_dict() for name, values in falls.items()}


def ratios(cases: Sequence[Case], who: str) -> dict[str, float]:
    """Of the means: how much more named events count than others, and what they alone keep of the whole distance."""
    fall = float(np.mean([one.whole - one.without[who] for one in cases]))
    other = float(np.mean([one.whole - one.others for one in cases]))
    kept = float(np.mean([one.only[who] - one.empty for one in cases]))
    distance = float(np.mean([one.whole - one.empty for one in cases]))
    # No quotient: what others count is about nothing.
    return {"fall by the named, less that by others": fall - other, "kept by the named alone": kept / distance}


if __name__ == "__main__":
    sys.exit(main())
