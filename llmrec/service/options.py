"""Options that several commands have, and the workspace they name."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer

import llmrec
from llmrec.errors import ConfigError, LlmrecError

__all__ = [
    "HERE",
    "AsJson",
    "Context",
    "Data",
    "Format",
    "Rename",
    "Workspace",
    "command",
    "context_of",
    "names_of",
    "opened",
    "with_workspace",
]

Workspace = Annotated[Path, typer.Option("--workspace", "-w", help="The workspace directory.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON, for machines.")]
Context = Annotated[
    list[str] | None, typer.Option(metavar="NAME=VALUE", help="The situation, for the language model; repeatable.")
]
Data = Annotated[Path | None, typer.Option(help="A MovieLens or RecBole folder or zip that holds them all.")]
Format = Annotated[
    str | None, typer.Option("--format", help="csv, tsv, jsonl, parquet, movielens or recbole; else by the name.")
]
Rename = Annotated[list[str] | None, typer.Option(metavar="THEIRS=OURS", help="A column's name in the file.")]
HERE = Path()

# Commands in a hint, but for those that need no workspace or name it already.
_COMMAND = re.compile(r"`llmrec ((?!init\b|models\b|demo\b)[a-z](?:(?! -w )[^`])*)`")


@contextmanager
def opened(workspace: Path) -> Iterator[llmrec.Recommender]:
    """The recommender of a workspace; the commands in the hint of an error name it too."""
    try:
        with llmrec.Recommender.open(workspace) as rec:
            yield rec
    except LlmrecError as error:
        error.hint = with_workspace(error.hint, workspace)
        raise


def with_workspace(text: str, workspace: Path) -> str:
    """The text with the workspace named in each command it holds."""
    return _COMMAND.sub(lambda found: f"`{command(found[1], workspace)}`", text)


def command(rest: str, workspace: Path) -> str:
    """A command as the reader may repeat it from here."""
    return f"llmrec {rest}" + ("" if workspace == HERE else f" -w {shlex.quote(str(workspace))}")


def context_of(given: Sequence[str] | None) -> dict[str, str]:
    """The situation that `--context` says."""
    return _pairs(given, form="NAME=VALUE", example="season=winter")


def names_of(rename: Sequence[str] | None) -> dict[str, str]:
    """Our name for each column that `--rename` says is called otherwise in the file."""
    return _pairs(rename, form="THEIRS=OURS", example="userId=user_id")


def _pairs(given: Sequence[str] | None, *, form: str, example: str) -> dict[str, str]:
    pairs = {}
    for one in given or ():
        name, sign, value = one.partition("=")
        if not (name and sign):
            raise ConfigError(f"{one!r} is not {form}", hint=f"write it like {example}")
        pairs[name] = value
    return pairs
