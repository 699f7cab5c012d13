"""Measure what one word of feedback does to the next list of MovieLens-100K, user by user.

    python scripts/evaluate_feedback.py --users 200 --json feedback.json

Each user gets a list; then they dislike, hide or comment; then they get a list again; then it is taken back. A minute
without the language model (`--llm` asks it too).
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from llmrec import Event, Item, Recommender
from llmrec.config import OWN_STORE
from llmrec.data import fetch_dataset
from llmrec.evaluation.description import describe_environment
from llmrec.evaluation.uncertainty import intervals
from llmrec.files import replace_file
from llmrec.releases.shipped import shipped_release
from llmrec.service.printing import print_table

_OTHERS = 5
_FEWEST = 20


def main() -> int:
    """Run once."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--users", type=int, default=200)
    parser.add_argument("--llm", action="store_true", help="let the language model rank")
    parser.add_argument("--json", type=Path, metavar="OUT")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as directory:
        settings = {
            "ranking": {"enabled": options.llm, "attributes": 0, "history_tokens": 384},
            "models": {"dtype": "bfloat16"},
            **OWN_STORE,
        }
        with Recommender.create(Path(directory) / "films", settings) as rec:
            folder = str(fetch_dataset("ml-100k"))
            rec.import_(users=folder, items=folder, events=folder)
            release = shipped_release("ml-100k")
            assert release is not None, "this checkout has no adapters/ml-100k"
            rec.install(release)
            found = dict(measured(rec, asked(rec, options.users)))
    report = {"data": "MovieLens-100K", "environment": describe_environment(), "language_model": options.llm, **found}
    if options.json:
        replace_file(options.json, json.dumps(report, indent=2).encode())
    rows = [
        [name, *(f"{one[key]:.3f}" if one[key] is not None else "-" for key in ("value", "low", "high"))]
        for name, one in found.items()
    ]
    print_table(f"{options.users} users", ["what", "mean", "low", "high"], rows)
    return 0


def asked(rec: Recommender, most: int) -> list[str]:
    """A fixed sample of users who took something."""
    user_ids = sorted(user.user_id for user in rec.users() if rec.store.event_count(user.user_id) >= _FEWEST)
    return [user_ids[place] for place in np.random.default_rng(0).permutation(len(user_ids))[:most]]


def measured(rec: Recommender, user_ids: Sequence[str]) -> Iterator[tuple[str, dict[str, float | None]]]:
    """What each kind of feedback does, by its name."""
    rows: dict[str, list[float]] = {}
    for place, user_id in enumerate(user_ids):
        others = [user_ids[(place + step) % len(user_ids)] for step in range(1, _OTHERS + 1)]
        for name, value in (*disliked(rec, user_id), *hidden(rec, user_id, others), *spoken(rec, user_id)):
            rows.setdefault(name, []).append(value)
    for name, values in rows.items():
        (interval,) = intervals(np.array(values)[:, None])
        yield name, interval.to_dict()


def disliked(rec: Recommender, user_id: str) -> Iterator[tuple[str, float]]:
    """One dislike of an item of the list's most frequent genre."""
    before = titles(rec, user_id)
    target, genre = typical(before)
    with after(rec, Event(user_id, target.item_id, "dislike")):
        # The item itself is gone from the list, so it does not count before either.
        now = titles(rec, user_id, len(before) - 1)
    yield "its genre's share before a dislike", share([item for item in before if item is not target], genre)
    yield "its genre's share after it", share(now, genre)


def hidden(rec: Recommender, user_id: str, others: Sequence[str]) -> Iterator[tuple[str, float]]:
    """One hidden item."""
    lists = [ids(titles(rec, other)) for other in others]
    target = titles(rec, user_id, 1)[0].item_id
    with after(rec, Event(user_id, target, "hide")):
        yield "a hidden item is shown", float(target in ids(titles(rec, user_id, 50)))
        yield "other users' lists change", float(lists != [ids(titles(rec, other)) for other in others])


def spoken(rec: Recommender, user_id: str) -> Iterator[tuple[str, float]]:
    """One comment about the list's most frequent genre."""
    before = titles(rec, user_id)
    _, genre = typical(before)
    yield "a genre's share before a comment", share(before, genre)
    for tone, said in (("for", "I love {} films"), ("against", "I hate {} films")):
        with after(rec, Event(user_id, None, "comment", text=said.format(genre))):
            yield f"its share after one {tone} it", share(titles(rec, user_id), genre)


def titles(rec: Recommender, user_id: str, n: int = 10) -> list[Item]:
    """The first n items for a user."""
    return [one.item for one in rec.recommend(user_id, n).items]


def ids(items: Sequence[Item]) -> list[str]:
    """Their ids."""
    return [item.item_id for item in items]


def typical(items: Sequence[Item]) -> tuple[Item, str]:
    """The most frequent genre of a list, and its first item of that genre."""
    counts = Counter(genre for item in items for genre in genres(item))
    genre = counts.most_common(1)[0][0]
    return next(item for item in items if genre in genres(item)), genre


def genres(item: Item) -> tuple[str, ...]:
    """Those of a film."""
    given = item.attributes.get("genres", ())
    return given if isinstance(given, tuple) else ()


def share(items: Sequence[Item], genre: str) -> float:
    """How many of them have it."""
    return sum(genre in genres(item) for item in items) / max(1, len(items))


@contextmanager
def after(rec: Recommender, event: Event) -> Iterator[None]:
    """An event is known inside; then it is taken back."""
    kept = rec.feedback(event)
    try:
        yield
    finally:
        rec.take_back(event.user_id, [str(kept.event_id)])


if __name__ == "__main__":
    sys.exit(main())
