"""Measure the retriever on MovieLens-100K: leave-one-out, ranked against all items, items already seen masked.

    python scripts/evaluate_ml100k.py --seeds 3 --json ml100k.json --html ml100k.html

One seed takes a few minutes on two cores. A second call goes on from what the first one trained.
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


if __name__ == "__main__":
    sys.exit(run_script(evaluation_parser(__doc__), read))
