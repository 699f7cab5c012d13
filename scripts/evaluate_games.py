"""Measure on video games: a catalogue without films, short histories, many rare items, and titles that tell much.

    python scripts/evaluate_games.py DATA --json games.json --html games.html

DATA holds sequences.tsv (user_id, item ids in the order of time) and items.tsv. Beside the retriever the same network
is trained without texts (sasrec). Training takes half an hour on two cores; a second call goes on from what the first
one trained.
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


if __name__ == "__main__":
    parser = evaluation_parser(__doc__)
    parser.add_argument("data", type=Path, metavar="DATA")
    sys.exit(run_script(parser, read, sasrec=True))
