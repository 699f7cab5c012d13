"""Measure the retriever on MovieLens-100K: leave-one-out, ranked against all items, items already seen masked.

    python scripts/evaluate_ml100k.py --seeds 3 --json ml100k.json --html ml100k.html

One seed takes a few minutes on two cores. A second call goes on from what the first one trained.

    python scripts/evaluate_ml100k.py --stage full --release adapters/ml-100k --json ml100k-full.json

measures the release that comes with llmrec, language model included, in about half an hour; without --release it trains
one, which takes two hours.
"""

from __future__ import annotations

import argparse
import sys

from llmrec.data import fetch_dataset
from llmrec.evaluation import MEMORISED, EvaluationData, data_from_files
from llmrec.service.evaluation_script import evaluation_parser, run_script


def read(_: argparse.Namespace) -> EvaluationData:
    """The data set, fetched once."""
    folder = fetch_dataset("ml-100k")
    return data_from_files("MovieLens-100K", folder, folder, folder, notes=[MEMORISED])


# Titles alone: on two cores a training reads twice as many lists in the same time.
SETTINGS = {"models": {"dtype": "bfloat16"}, "ranking": {"attributes": 0}}


if __name__ == "__main__":
    sys.exit(run_script(evaluation_parser(__doc__), read, settings=SETTINGS))
