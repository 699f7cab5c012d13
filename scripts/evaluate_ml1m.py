"""Measure the retriever on MovieLens-1M in the split of LRURec: leave-one-out against all items, seen items masked.

    python scripts/evaluate_ml1m.py DATA --seed 1 --json ml1m.json --html ml1m.html

DATA holds sequences.tsv (user_id, item ids in the order of time), items.tsv and users.tsv. Training takes 40 minutes on
two cores; a second call goes on from what the first one trained.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from llmrec.evaluation import MEMORISED, EvaluationData, data_from_folder
from llmrec.service.evaluation_script import evaluation_parser, run_script

# A million events feed a wider network than the default one for longer.
SETTINGS = {"encoder": {"dimension": 128, "heads": 4, "dropout": 0.2, "epochs": 50, "patience": 10}}


def read(options: argparse.Namespace) -> EvaluationData:
    """The folder's data."""
    return data_from_folder("MovieLens-1M", options.data, notes=[MEMORISED])


if __name__ == "__main__":
    parser = evaluation_parser(__doc__)
    parser.add_argument("data", type=Path, metavar="DATA")
    sys.exit(run_script(parser, read, settings=SETTINGS))
