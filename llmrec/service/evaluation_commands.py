"""The command that measures: `llmrec evaluate`."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Annotated, Literal

import typer

from llmrec.config import FILE_NAME, Settings
from llmrec.errors import ConfigError
from llmrec.service.options import HERE, Data, Format, Rename, Workspace, names_of, opened

__all__ = ["add_to"]


def add_to(app: typer.Typer) -> None:
    """Make the command known to the program."""
    app.command()(evaluate)


def evaluate(
    items: Annotated[
        Path | None, typer.Option(help="The catalogue; without it, what the events are about, and no texts.")
    ] = None,
    events: Annotated[Path | None, typer.Option(help="Who took what, with a time or in the order of time.")] = None,
    users: Annotated[Path | None, typer.Option(help="For a look at groups of users.")] = None,
    data: Data = None,
    format_: Format = None,
    rename: Rename = None,
    protocol: Annotated[
        Literal["leave-one-out", "temporal"],
        typer.Option(help="Foretell each user's last item, or everything from one moment on."),
    ] = "leave-one-out",
    split_at: Annotated[
        str | None, typer.Option(metavar="SHARE|TIME", help="The moment: 0.8 of the events, or 2024-05-01.")
    ] = None,
    cold_items: Annotated[
        float | None, typer.Option(metavar="SHARE", help="Hold this share of the items out of all training.")
    ] = None,
    cold_seed: Annotated[int, typer.Option(help="Of the choice of these items.")] = 0,
    seeds: Annotated[int | None, typer.Option(min=1, help="How many trainings; else one.")] = None,
    epochs: Annotated[int | None, typer.Option(min=1, help="At most; else as configured.")] = None,
    baselines_only: Annotated[bool, typer.Option("--baselines-only", help="Train nothing.")] = False,
    sasrec: Annotated[bool, typer.Option("--sasrec", help="Train the same network without texts too.")] = False,
    gru: Annotated[bool, typer.Option("--gru", help="Train a GRU with attention pooling too.")] = False,
    as_json: Annotated[
        Path | None, typer.Option("--json", metavar="OUT", help="Keep the report; - is standard output.")
    ] = None,
    html: Annotated[Path | None, typer.Option(metavar="OUT", help="Keep it as one page with plots.")] = None,
    workspace: Workspace = HERE,
) -> None:
    """How good recommendations are, beside popularity, EASE, ALS and texts alone.

    It measures on files, by the settings of ./llmrec.toml if there is one, or on what the workspace holds. A second
    call goes on from what the first one trained.

    Example: llmrec evaluate --items items.csv --events log.jsonl --json report.json --html report.html
    """
    # They load torch, which the other commands do without where they can.
    from llmrec.evaluation import Protocol
    from llmrec.service import evaluating

    on_files = any((items, events, users, data))
    _refuse_mixture(workspace, on_files=on_files, of_files=bool(format_ or rename))
    asked = Protocol(protocol, evaluating.share_or_time(split_at), cold_items, cold_seed)
    lineup = partial(
        evaluating.lineup_of, seeds=seeds, epochs=epochs, baselines_only=baselines_only, sasrec=sasrec, gru=gru
    )
    outputs = evaluating.Outputs(as_json, html)
    outputs.check()
    if on_files:
        systems = lineup(Settings.load(Path(FILE_NAME)))
        files = evaluating.Files(events or data, items or data, users or data, format_, names_of(rename))
        report = evaluating.evaluate_data(files.read(), systems, asked)
    else:
        with opened(workspace) as rec:
            report = evaluating.evaluate_workspace(rec, lineup(rec.settings), asked)
    outputs.keep(report)


def _refuse_mixture(workspace: Path, *, on_files: bool, of_files: bool) -> None:
    """What is measured is either in files or in a workspace."""
    if on_files and workspace != HERE:
        raise ConfigError("both files and a workspace are named", hint="drop -w, or name no files")
    if not on_files and of_files:
        raise ConfigError("a workspace has one format", hint="drop --format and --rename, or name files")
