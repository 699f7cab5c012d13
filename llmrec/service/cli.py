"""The command line. Exit status: 0 ok, 2 an expected error, 75 busy, 130 interrupted, 1 only for a bug."""

from __future__ import annotations

import logging
import os
import re
import shlex
import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

import llmrec
import llmrec.models
from llmrec.config import FILE_NAME, Settings
from llmrec.errors import BusyError, ConfigError, LlmrecError
from llmrec.requests import conditions
from llmrec.service import chat_commands, learning_commands, serve_commands
from llmrec.service.demo import run_demo
from llmrec.service.doctor import examine
from llmrec.service.options import (
    HERE,
    AsJson,
    Context,
    Data,
    Format,
    Rename,
    Workspace,
    command,
    opened,
    with_workspace,
)
from llmrec.service.printing import (
    import_counts,
    print_error,
    print_explanation,
    print_import,
    print_json,
    print_ranked,
    print_recommendation,
    print_table,
    say,
)

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
models_app = typer.Typer(invoke_without_command=True)
app.add_typer(models_app, name="models")
learning_commands.add_to(app)
chat_commands.add_to(app)
serve_commands.add_to(app)

_SHOWN_VALUES = 8
_CONDITION = re.compile(r"([^!<>=]+)(!=|>=|<=|=)(.*)", re.DOTALL)
_VALUES = {"=": "any", "!=": "not"}
_BOUNDS = {">=": "min", "<=": "max"}


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
def demo(
    workspace: Annotated[Path, typer.Option("--workspace", "-w", help="Where to set it up.")] = Path("demo-ml-100k"),
    user: Annotated[str, typer.Option(help="For which MovieLens user, 1 to 943.")] = "1",
    serve: Annotated[bool, typer.Option(help="Go on to the page once there is one.")] = True,
    as_json: AsJson = False,
) -> None:
    """Everything on MovieLens-100K: data, models, index, a recommendation and a why.

    Example: llmrec demo --no-serve
    """
    result = run_demo(workspace, user, as_json=as_json)
    if as_json:
        print_json(result)
    elif serve:
        ways = f"{command('recommend 2', workspace)}, or {command('why 2 50', workspace)}"
        say(f"Next: {ways}. The README goes on from here.")


@app.command()
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


@app.command("import")
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
            rename=_pairs(rename, form="THEIRS=OURS", example="userId=user_id"),
            progress=sys.stderr.isatty(),
        )
        is_fitted = rec.store.alias("rank") is not None
    if as_json:
        counts = {
            name: dict(zip(("new", "updated", "repeated"), one, strict=True)) for name, one in import_counts(report)
        }
        print_json({**counts, "skipped": [str(row) for row in report.skipped], "skipped_total": report.skipped_total})
    else:
        print_import(report)
        say(f"Next: {command('recommend USER' if is_fitted else 'fit', workspace)}")


@app.command()
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


@app.command()
def recommend(
    user: str,
    n: Annotated[int, typer.Option("-n", help="How many items.")] = 10,
    where: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME=VALUE", help="Only items like this; !=, >= and <= work too; repeatable."),
    ] = None,
    context: Context = None,
    llm: Annotated[bool | None, typer.Option(help="Let the language model rank.")] = None,
    seen: Annotated[bool | None, typer.Option(help="Include items the user has met.")] = None,
    diversity: Annotated[
        float | None, typer.Option(help="0: the order of the scores, up to 1: how much variety counts in it.")
    ] = None,
    workspace: Workspace = HERE,
    as_json: AsJson = False,
) -> None:
    """The best items for a user.

    Example: llmrec recommend 42 -n 5 --where genres=Comedy -w demo-ml-100k
    """
    asked = _where(where or ())
    with opened(workspace) as rec:
        answer = rec.recommend(
            user,
            n,
            where=asked or None,
            context=_context(context),
            llm=llm,
            filter_seen=None if seen is None else not seen,
            diversity=diversity,
        )
        empty = "" if answer.items else _why_empty(rec, asked)
    if as_json:
        print_json(answer.to_dict())
        return
    print_recommendation(answer, empty=empty)
    if answer.items and llm is None:
        # The explanation is of the same score: in the same situation, by the same opinions.
        situation = "".join(f" --context {shlex.quote(one)}" for one in context or ())
        first = f"{shlex.quote(user)} {shlex.quote(answer.items[0].item.item_id)}"
        say(f"Next: {command(f'why {first}{situation}', workspace)}")


@app.command()
def rank(
    candidates: Annotated[list[str], typer.Argument(help="Item ids to order.")],
    history: Annotated[list[str] | None, typer.Option(help="An item id the user took; repeat it, newest last.")] = None,
    user: Annotated[str | None, typer.Option(help="A stored user, whose history is used without --history.")] = None,
    context: Context = None,
    llm: Annotated[bool | None, typer.Option(help="Let the language model rank.")] = None,
    workspace: Workspace = HERE,
    as_json: AsJson = False,
) -> None:
    """Order given items for a history.

    Example: llmrec rank 50 181 --history 1 --history 172 -w demo-ml-100k
    """
    if history is None and user is None:
        raise ConfigError(
            "neither a history nor a user is given", hint="add --history ITEM (repeat it, newest last) or --user USER"
        )
    with opened(workspace) as rec:
        ranked = rec.rank(history, candidates, user_id=user, context=_context(context), llm=llm)
    if as_json:
        print_json({"items": [one.to_dict() for one in ranked]})
    else:
        print_ranked("Ranked", ranked)


@app.command()
def why(user: str, item: str, context: Context = None, workspace: Workspace = HERE, as_json: AsJson = False) -> None:
    """Why an item gets its score for a user; in a situation, give recommend's --context here too.

    Example: llmrec why 42 50 -w demo-ml-100k
    """
    with opened(workspace) as rec:
        explanation = rec.explain(user, item, context=_context(context))
    if as_json:
        print_json(explanation.to_dict())
    else:
        print_explanation(explanation)


@app.command()
def feedback(
    user: str,
    item: Annotated[str | None, typer.Argument(help="Leave it out for a search.")] = None,
    kind: Annotated[str, typer.Option(help="view, click, like, dislike, hide, rating, purchase, ...")] = "like",
    value: Annotated[float | None, typer.Option(help="The stars of a rating.")] = None,
    text: Annotated[str | None, typer.Option(help="What was said or searched for.")] = None,
    event_id: Annotated[str | None, typer.Option(help="Your id for it: sending it again changes nothing.")] = None,
    recommendation_id: Annotated[str | None, typer.Option(help="The recommendation it answers.")] = None,
    workspace: Workspace = HERE,
    as_json: AsJson = False,
) -> None:
    """Keep what a user just did or said.

    Example: llmrec feedback 42 50 --kind rating --value 5 -w demo-ml-100k
    """
    event = llmrec.Event(
        user, item, kind, value=value, text=text, event_id=event_id, recommendation_id=recommendation_id
    )
    with opened(workspace) as rec:
        stored = rec.feedback(event)
    if as_json:
        print_json({"event_id": stored.event_id, "sequence": stored.sequence})
    else:
        next_step = command(f"recommend {shlex.quote(user)}", workspace)
        say(f"kept as event {stored.event_id}; the next recommendation takes it into account: {next_step}")


@app.command()
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
    from llmrec.evaluation import Protocol
    from llmrec.service.evaluating import (
        Files,
        Outputs,
        evaluate_data,
        evaluate_workspace,
        lineup_of,
        share_or_time,
    )

    on_files = any((items, events, users, data))
    if on_files and workspace != HERE:
        raise ConfigError("both files and a workspace are named", hint="drop -w, or name no files")
    if not on_files and (format_ or rename):
        raise ConfigError("a workspace has one format", hint="drop --format and --rename, or name files")
    asked = Protocol(protocol, share_or_time(split_at), cold_items)
    lineup = partial(lineup_of, seeds=seeds, epochs=epochs, baselines_only=baselines_only, sasrec=sasrec, gru=gru)
    outputs = Outputs(as_json, html)
    outputs.check()
    if on_files:
        systems = lineup(Settings.load(Path(FILE_NAME)))
        names = _pairs(rename, form="THEIRS=OURS", example="userId=user_id")
        files = Files(events or data, items or data, users or data, format_, names)
        report = evaluate_data(files.read(), systems, asked)
    else:
        with opened(workspace) as rec:
            report = evaluate_workspace(rec, lineup(rec.settings), asked)
    outputs.keep(report)


@models_app.callback()
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


@models_app.command()
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


def _pairs(given: Sequence[str] | None, *, form: str, example: str) -> dict[str, str]:
    pairs = {}
    for one in given or ():
        name, sign, value = one.partition("=")
        if not (name and sign):
            raise ConfigError(f"{one!r} is not {form}", hint=f"write it like {example}")
        pairs[name] = value
    return pairs


def _context(given: Sequence[str] | None) -> dict[str, str]:
    return _pairs(given, form="NAME=VALUE", example="season=winter")


def _where(given: Sequence[str]) -> dict[str, dict[str, object]]:
    """Conditions: values of one name are alternatives; what reads as a number or a truth value also matches those."""
    wanted: dict[str, dict[str, Any]] = {}
    for one in given:
        found = _CONDITION.fullmatch(one)
        if found is None:
            raise ConfigError(
                f"{one!r} is not NAME=VALUE", hint="write it like genres=Comedy, genres!=War or year>=1990"
            )
        name, sign, value = found.groups()
        conditions = wanted.setdefault(name, {})
        if sign in _VALUES:
            conditions.setdefault(_VALUES[sign], []).extend([value, *_typed(value)])
        else:
            conditions[_BOUNDS[sign]] = (_typed(value) or [value])[0]
    return dict(wanted)


def _why_empty(rec: llmrec.Recommender, where: Mapping[str, Mapping[str, Any]]) -> str:
    """What left no item to recommend."""
    catalogue, wanted = rec.catalogue(), conditions(where) or {}
    if catalogue.matching(wanted):
        fitting = " that fits --where" if where else ""
        return f"every item{fitting} was seen or hidden (--seen includes them)."
    alone = next((name for name in wanted if not catalogue.matching({name: wanted[name]})), None)
    if alone is None:
        return "no item fits all of --where together."
    given = [item.attributes[alone] for item in catalogue.items.values() if alone in item.attributes]
    values = Counter(text for value in given for text in _texts(value)).most_common(_SHOWN_VALUES + 1)
    shown = ", ".join("…" if place == _SHOWN_VALUES else text for place, (text, _) in enumerate(values))
    return f"no item fits --where {_said(alone, where[alone])}. Frequent values of {alone}: {shown}"


def _said(name: str, conditions: Mapping[str, Any]) -> str:
    """A condition as it was given."""
    signs = {word: sign for sign, word in (_VALUES | _BOUNDS).items()}
    word, value = next(iter(conditions.items()))
    return f"{name}{signs[word]}{value[0] if isinstance(value, list) else value}"


def _texts(value: object) -> list[str]:
    return [str(one) for one in value] if isinstance(value, tuple) else [str(value)]


def _typed(value: str) -> list[object]:
    if value.lower() in ("true", "false"):
        return [value.lower() == "true"]
    try:
        return [float(value)]
    except ValueError:
        return []
