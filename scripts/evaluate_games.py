"""Measure on video games: a catalogue without films, short histories, many rare items, and titles that tell much.

    python scripts/evaluate_games.py DATA --json games.json --html games.html

DATA holds sequences.tsv (user_id, item ids in the order of time) and items.tsv. Beside the retriever the same network
is trained without texts (sasrec). Training takes half an hour on two cores; a second call goes on from what the first
one trained.

    python scripts/evaluate_games.py DATA --stage full --epochs 7 --users 2000 --hits-only --json games-full.json

trains an adapter too and asks the language model, in an hour. The encoder is best after seven epochs; without --epochs
it trains eight more to find out.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from llmrec.evaluation import EvaluationData, data_from_folder
from llmrec.service.evaluation_script import evaluation_parser, run_script


def read(options: argparse.Namespace) -> EvaluationData:
    """The folder's data."""
    return data_from_folder("Amazon Video Games, every other user", options.data)


# Sized for two cores: titles alone, and lists of different users.
SETTINGS = {
    "models": {"dtype": "bfloat16"},
    "ranking": {"attributes": 0, "history_tokens": 192},
    "learning": {
        "crossfit_epochs": 5,
        "lists_per_user": 1,
        "most_lists": 1_600,
        "last_layers": 12,
        "validation_lists": 128,
        "gate_users": 16,
        "validations": 4,
    },
}


if __name__ == "__main__":
    parser = evaluation_parser(__doc__)
    parser.add_argument("data", type=Path, metavar="DATA")
    sys.exit(run_script(parser, read, sasrec=True, settings=SETTINGS))
