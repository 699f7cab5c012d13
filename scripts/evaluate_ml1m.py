"""Measure the retriever on MovieLens-1M in the split of LRURec: leave-one-out against all items, seen items masked.

    python scripts/evaluate_ml1m.py DATA --seed 1 --json ml1m.json --html ml1m.html

DATA holds sequences.tsv (user_id, item ids in the order of time), items.tsv and users.tsv. Training takes 40 minutes on
two cores; a second call goes on from what the first one trained.

    python scripts/evaluate_ml1m.py DATA --stage full --release adapters/ml-1m --users 1000 --hits-only --json full.json

measures the release that comes with llmrec, language model included, in half an hour; with --encoder in place of
--release it trains an adapter for the shipped encoder, which takes an hour more.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from llmrec.evaluation import MEMORISED, EvaluationData, data_from_folder
from llmrec.service.evaluation_script import evaluation_parser, run_script

SETTINGS = {
    # A million events feed a wider network than the default one for longer.
    "encoder": {"dimension": 128, "heads": 4, "dropout": 0.2, "epochs": 50, "patience": 10},
    # Sized for two cores: short prompts, and lists that differ.
    "models": {"dtype": "bfloat16"},
    "ranking": {"attributes": 0, "evidence": 1, "history_tokens": 192},
    "learning": {
        "crossfit_epochs": 10,
        "lists_per_user": 2,
        "most_lists": 1000,
        "others": 5,
        "last_layers": 12,
        "gate_users": 16,
        "validations": 3,
    },
}


def read(options: argparse.Namespace) -> EvaluationData:
    """The folder's data."""
    return data_from_folder("MovieLens-1M", options.data, notes=[MEMORISED])


if __name__ == "__main__":
    parser = evaluation_parser(__doc__)
    parser.add_argument("data", type=Path, metavar="DATA")
    sys.exit(run_script(parser, read, settings=SETTINGS))
