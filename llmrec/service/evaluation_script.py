"""What the scripts that measure on a published data set have in common: options, training, report, exit status."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from pathlib import Path

from llmrec.config import Settings
from llmrec.errors import LlmrecError
from llmrec.evaluation import EvaluationData
from llmrec.service.evaluating import Outputs, Task, evaluate_data
from llmrec.service.printing import print_error

__all__ = ["evaluation_parser", "run_script"]

_EXIT_EXPECTED = 2


def evaluation_parser(description: str | None) -> argparse.ArgumentParser:
    """The options that all of them take."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seed", type=int, default=1, help="of the first training (%(default)s)")
    parser.add_argument(
        "--seeds", type=int, default=1, help="how many trainings, each with the next seed (%(default)s)"
    )
    parser.add_argument("--epochs", type=int, help="at most; else as the script trains")
    parser.add_argument("--baselines-only", action="store_true", help="train nothing")
    parser.add_argument("--json", type=Path, metavar="OUT", help="a file, or - for standard output")
    parser.add_argument("--html", type=Path, metavar="OUT", help="one page with plots that needs nothing else")
    return parser


def run_script(
    parser: argparse.ArgumentParser,
    read: Callable[[argparse.Namespace], EvaluationData],
    *,
    sasrec: bool = False,
    settings: Settings | None = None,
    arguments: Sequence[str] | None = None,
) -> int:
    """Read, fit, measure, print and keep; returns the exit status: 0, or 2 after an expected error.

    Args:
        parser: From `evaluation_parser`, with what the script adds to it.
        read: Makes the data of the parsed options.
        sasrec: Whether to train the same network without texts too.
        settings: The encoder and its training, where the defaults do not fit the data.
        arguments: What was given; None: on the command line.
    """
    options = parser.parse_args(arguments)
    try:
        outputs = Outputs(options.json, options.html)
        outputs.check()
        data = read(options)
        task = Task(
            seed=options.seed,
            seeds=options.seeds,
            epochs=options.epochs,
            baselines_only=options.baselines_only,
            sasrec=sasrec,
        )
        outputs.keep(evaluate_data(data, task.lineup(settings or Settings()), task.to_protocol()))
    except LlmrecError as error:
        print_error(error, as_json=False)
        return _EXIT_EXPECTED
    return 0
