"""The commands about models: `llmrec models` and `llmrec models fetch`."""

from __future__ import annotations

from typing import Annotated

import typer

import llmrec.models
from llmrec.service.options import AsJson
from llmrec.service.printing import print_json, print_table, say

__all__ = ["add_to"]

_app = typer.Typer(invoke_without_command=True)


def add_to(app: typer.Typer) -> None:
    """Make the commands known to the program."""
    app.add_typer(_app, name="models")


@_app.callback()
def models(context: typer.Context, as_json: AsJson = False) -> None:
    """The known models and where they lie.

    Example: llmrec models, llmrec models fetch
    """
    if context.invoked_subcommand:
        return
    known = llmrec.models.known_models()
    if as_json:
        print_json(
            [
                {"name": m.name, "kind": m.kind, "licence": m.licence, "cached": m.cached, "where": m.where}
                for m in known
            ]
        )
    else:
        rows = [[m.name, m.kind, m.licence, "yes" if m.cached else "no", m.where] for m in known]
        print_table("Models", ["name", "kind", "licence", "here", "where"], rows)


@_app.command()
def fetch(
    context: typer.Context,
    names: Annotated[list[str] | None, typer.Argument(help="None: all known ones.")] = None,
    as_json: AsJson = False,
) -> None:
    """Fetch models into the cache, so that nothing needs the network later.

    Example: llmrec models fetch
    """
    wanted = [model.name for model in llmrec.models.known_models()]
    fetched = []
    for name in names or wanted:
        known = name in wanted
        source = llmrec.models.fetch(name) if known else llmrec.models.resolve(name, "language-model")
        fetched.append({"name": source.name, "where": str(source.path), "sha256": source.sha256})
        say(f"{source.name}: {source.path}")
    # `models --json fetch` means the same as `models fetch --json`.
    if as_json or (context.parent and context.parent.params["as_json"]):
        print_json(fetched)
