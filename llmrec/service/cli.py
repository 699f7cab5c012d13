"""The command line. Exit status: 0 ok, 2 an expected error, 75 busy, 130 interrupted, 1 only for a bug."""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise
from typing import Annotated

import typer

import llmrec
from llmrec.errors import BusyError, ConfigError, LlmrecError
from llmrec.service import (
    answering_commands,
    chat_commands,
    evaluation_commands,
    learning_commands,
    model_commands,
    serve_commands,
    workspace_commands,
)
from llmrec.service.doctor import examine
from llmrec.service.options import HERE, AsJson, Workspace, with_workspace
from llmrec.service.printing import print_error, print_json, print_table

__all__ = ["app", "main"]

_EXIT_EXPECTED = 2
_EXIT_BUSY = 75

app = typer.Typer(
    name="llmrec",
    help="A recommender whose ranker is an open language model.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
for group in (
    model_commands,
    learning_commands,
    chat_commands,
    workspace_commands,
    answering_commands,
    evaluation_commands,
    serve_commands,
):
    group.add_to(app)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; returns its exit status."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    try:
        _start_log(os.environ.get("LLMREC_LOG") or "WARNING")
        app(given)
    except LlmrecError as error:
        print_error(error, as_json=_is_json(given))
        return _EXIT_BUSY if isinstance(error, BusyError) else _EXIT_EXPECTED
    except SystemExit as stop:
        return stop.code if isinstance(stop.code, int) else 0
    return 0


def _is_json(given: Sequence[str]) -> bool:
    """Whether standard output is JSON, and errors are then too; `evaluate --json` may name a file instead."""
    if given[:1] == ["evaluate"]:
        return "--json=-" in given or ("--json", "-") in pairwise(given)
    return "--json" in given


def _start_log(level: str) -> None:
    levels = logging.getLevelNamesMapping()
    if level.upper() not in levels:
        raise ConfigError(
            f"LLMREC_LOG = {level!r} is no level of logging",
            hint="set it to debug, info, warning or error, or unset it",
        )
    logging.basicConfig(level=levels[level.upper()], format="%(levelname)s %(message)s")


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(llmrec.__version__)
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", help="Print the version.", callback=_print_version, is_eager=True)
    ] = False,
) -> None: ...


@app.command()
def doctor(workspace: Workspace = HERE, as_json: AsJson = False) -> None:
    """Whether this machine and this workspace are fit for work.

    Example: llmrec doctor -w shop
    """
    findings = [replace(one, detail=with_workspace(one.detail, workspace)) for one in examine(workspace)]
    if as_json:
        print_json([finding.to_dict() for finding in findings])
    else:
        print_table("Doctor", ["what", "state", "detail"], [[one.what, one.state, one.detail] for one in findings])
    if any(finding.state == "fault" for finding in findings):
        raise typer.Exit(_EXIT_EXPECTED)
