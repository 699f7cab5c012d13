"""The commands that make a workspace and fill it: `llmrec demo`, `init`, `import` and `fit`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

import llmrec
from llmrec.errors import ConfigError
from llmrec.service.demo import run_demo
from llmrec.service.options import HERE, AsJson, Data, Format, Rename, Workspace, command, names_of, opened
from llmrec.service.printing import import_counts, print_import, print_json, say
from llmrec.service.serve_commands import serve_workspace

__all__ = ["add_to"]


def add_to(app: typer.Typer) -> None:
    """Make the commands known to the program."""
    app.command()(demo)
    app.command()(init)
    app.command("import")(import_)
    app.command()(fit)


def demo(
    workspace: Annotated[Path, typer.Option("--workspace", "-w", help="Where to set it up.")] = Path("demo-ml-100k"),
    user: Annotated[str, typer.Option(help="For which MovieLens user, 1 to 943.")] = "1",
    serve: Annotated[bool, typer.Option(help="Go on to the page, on this machine alone.")] = True,
    port: Annotated[int, typer.Option(min=0, max=65_535, help="Of the page; 0: any that is free.")] = 8000,
    as_json: AsJson = False,
) -> None:
    """Everything on MovieLens-100K: data, models, index, a recommendation, a why, and then the page.

    Example: llmrec demo --no-serve
    """
    result = run_demo(workspace, user, as_json=as_json)
    if as_json:
        print_json(result)
    elif serve:
        ways = f"{command('chat 2', workspace)}, or {command('why 2 50', workspace)}"
        say(f"Next, also while the page is open: {ways}. The README goes on from here.")
        serve_workspace(workspace, "127.0.0.1", port)


def init(directory: Path, as_json: AsJson = False) -> None:
    """Make a workspace with a commented llmrec.toml.

    Example: llmrec init shop
    """
    with llmrec.Recommender.create(directory) as rec:
        if as_json:
            print_json({"workspace": str(rec.workspace.root)})
        else:
            next_step = command("import --items FILE", directory)
            say(f"{rec.workspace.settings_file} holds the settings. Next: {next_step}")


def import_(
    users: Annotated[Path | None, typer.Option(help="user_id, any other column is an attribute.")] = None,
    items: Annotated[Path | None, typer.Option(help="item_id, title, description, any other is an attribute.")] = None,
    events: Annotated[
        Path | None, typer.Option(help="user_id, item_id, kind, value, text, timestamp, event_id.")
    ] = None,
    data: Data = None,
    format_: Format = None,
    rename: Rename = None,
    skip_bad: Annotated[bool, typer.Option("--skip-bad", help="Import the good rows and list the others.")] = False,
    workspace: Workspace = HERE,
    as_json: AsJson = False,
) -> None:
    """Take in users, items and events, all or nothing.

    Example: llmrec import --items items.csv --events log.jsonl
    """
    if not any((users, items, events, data)):
        raise ConfigError("nothing to import", hint="name files: --items FILE --events FILE (see llmrec import --help)")
    with opened(workspace) as rec:
        report = rec.import_(
            users=users or data,
            items=items or data,
            events=events or data,
            skip_bad=skip_bad,
            format=format_,
            rename=names_of(rename),
            progress=sys.stderr.isatty(),
        )
        is_fitted = rec.store.aliases.now("rank") is not None
    if as_json:
        counts = {
            name: dict(zip(("new", "updated", "repeated"), one, strict=True)) for name, one in import_counts(report)
        }
        print_json({**counts, "skipped": [str(row) for row in report.skipped], "skipped_total": report.skipped_total})
    else:
        print_import(report)
        say(f"Next: {command('recommend USER' if is_fitted else 'fit', workspace)}")


def fit(workspace: Workspace = HERE, as_json: AsJson = False) -> None:
    """Embed the items, train the sequence encoder, weigh the opinions, and make a release.

    Example: llmrec fit -w shop
    """
    with opened(workspace) as rec:
        release = rec.fit()
    if as_json:
        print_json({"release": release.version, "manifest": dict(release.manifest)})
    else:
        say(f"release {release.version} is live. Next: {command('recommend USER', workspace)}")
