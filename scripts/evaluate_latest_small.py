"""Measure the retriever on MovieLens latest-small, 5-core: what the LlamaRec paper calls ML-100K.

    python scripts/evaluate_latest_small.py DATA --seeds 3 --json latest-small.json

DATA holds ratings.csv and movies.csv as GroupLens publishes them. One seed takes a few minutes on two cores. A second
call goes on from what the first one trained.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from llmrec.evaluation import MEMORISED, EvaluationData, data_from_files
from llmrec.service.evaluation_script import evaluation_parser, run_script


def read(options: argparse.Namespace) -> EvaluationData:
    """The folder's ratings of films that have a title, until every user and every film has five of them."""
    ratings, films = options.data / "ratings.csv", options.data / "movies.csv"
    return data_from_files(
        "MovieLens latest-small, 5-core", ratings, films, format="movielens", core=5, notes=[MEMORISED]
    )


if __name__ == "__main__":
    parser = evaluation_parser(__doc__)
    parser.add_argument("data", type=Path, metavar="DATA")
    sys.exit(run_script(parser, read))
