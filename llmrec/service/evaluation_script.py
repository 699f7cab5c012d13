"""What the scripts that measure on a published data set have in common: options, training, report, exit status."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from llmrec.config import FILE_NAME, Settings
from llmrec.errors import ConfigError, LlmrecError
from llmrec.evaluation import EvaluationData, Lineup, Protocol, Report
from llmrec.service.evaluating import Outputs, evaluate_data, kept_directory, lineup_of
from llmrec.service.full_stage import FullStage, full_report
from llmrec.service.printing import print_error

__all__ = ["evaluation_parser", "run_script"]

_EXIT_EXPECTED = 2
_EXIT_INTERRUPTED = 130


def evaluation_parser(description: str | None) -> argparse.ArgumentParser:
    """The options that all of them take."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seed", type=int, default=1, help="of the first training (%(default)s)")
    parser.add_argument("--seeds", type=int, help="how many trainings, each with the next seed; else one")
    parser.add_argument("--epochs", type=int, help="at most; else as the script trains")
    parser.add_argument("--baselines-only", action="store_true", help="train nothing")
    parser.add_argument("--gru", action="store_true", help="train a GRU with attention pooling too")
    parser.add_argument("--encoder", type=Path, metavar="DIR", help="take a shipped encoder, and train none")
    parser.add_argument(
        "--stage",
        choices=["retriever", "full"],
        default="retriever",
        help="full: the language model too, on the retriever's lists; trains an adapter unless --release names one",
    )
    parser.add_argument("--release", type=Path, metavar="DIR", help="measure a shipped release (with --stage full)")
    parser.add_argument("--users", type=int, metavar="N", help="ask a fixed sample of so many (with --stage full)")
    parser.add_argument(
        "--skip-users", type=int, default=0, metavar="N", help="others than the first so many of the sample's order"
    )
    parser.add_argument(
        "--targets", type=int, metavar="N", help="foretell each of the last N items of a user (with --stage full)"
    )
    parser.add_argument(
        "--hits-only",
        action="store_true",
        help="ask the language model only about lists that hold the answer: same accuracy, no other figures",
    )
    parser.add_argument("--json", type=Path, metavar="OUT", help="a file, or - for standard output")
    parser.add_argument("--html", type=Path, metavar="OUT", help="one page with plots that needs nothing else")
    return parser


def run_script(
    parser: argparse.ArgumentParser,
    read: Callable[[argparse.Namespace], EvaluationData],
    *,
    sasrec: bool = False,
    settings: Mapping[str, Mapping[str, Any]] | None = None,
    arguments: Sequence[str] | None = None,
) -> int:
    """Read, fit, measure, print and keep; returns the exit status: 0, 2 after an expected error, 130 interrupted.

    Args:
        parser: From `evaluation_parser`, with what the script adds to it.
        read: Makes the data of the parsed options.
        sasrec: Whether to train the same network without texts too.
        settings: What holds where ./llmrec.toml and the LLMREC_ variables say nothing, as `Settings.load` takes it.
        arguments: What was given; None: on the command line.
    """
    options = parser.parse_args(arguments)
    try:
        outputs = Outputs(options.json, options.html)
        outputs.check()
        lineup = lineup_of(
            Settings.load(Path(FILE_NAME), defaults=settings),
            seed=options.seed,
            seeds=options.seeds,
            epochs=options.epochs,
            baselines_only=options.baselines_only,
            sasrec=sasrec and not options.baselines_only and options.encoder is None and options.stage != "full",
            gru=options.gru,
            shipped=options.encoder,
        )
        outputs.keep(_report(options, lineup, read))
    except LlmrecError as error:
        print_error(error, as_json=False)
        return _EXIT_EXPECTED
    except KeyboardInterrupt:
        return _EXIT_INTERRUPTED
    return 0


def _report(
    options: argparse.Namespace, lineup: Lineup, read: Callable[[argparse.Namespace], EvaluationData]
) -> Report:
    if options.skip_users < 0 or (options.users is not None and options.users < 1):
        raise ConfigError("so few users cannot be asked", hint="give --users 1 or more, and --skip-users 0 or more")
    if options.stage == "retriever":
        given = (options.release, options.users, options.skip_users, options.targets is not None, options.hits_only)
        if any(given):
            raise ConfigError(
                "--release, --users, --skip-users, --targets and --hits-only are for the language model",
                hint="add --stage full",
            )
        return evaluate_data(read(options), lineup, Protocol())
    if options.baselines_only or options.seeds or (options.encoder and options.release):
        raise ConfigError(
            "--stage full measures one release",
            hint="drop --baselines-only and --seeds, give --seed; --release has an encoder of its own",
        )
    if options.targets is not None and (options.release or options.encoder):
        raise ConfigError(
            "--targets: what is shipped has learnt all events but a user's last two",
            hint="drop --release and --encoder, so that one is trained without the targets",
        )
    fit = lineup.settings.fit.model_copy(update={"seed": options.seed})
    settings = lineup.settings.model_copy(update={"fit": fit})
    targets = 1 if options.targets is None else options.targets
    stage = FullStage(
        settings,
        kept_directory(),
        options.release,
        lineup.shipped,
        options.users,
        options.skip_users,
        targets=targets,
        hits_only=options.hits_only,
    )
    return full_report(read(options), stage)
