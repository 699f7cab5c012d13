"""The commands about learning: `llmrec retrain` and `llmrec releases`."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Literal

import typer

import llmrec.learning
from llmrec.errors import NothingNewError
from llmrec.files import replace_file
from llmrec.releases import Release, ReleaseStore
from llmrec.service.options import HERE, AsJson, Workspace, command, opened
from llmrec.service.printing import print_json, print_table, say

__all__ = ["EXIT_NOT_PASSED", "add_to"]

EXIT_NOT_PASSED = 3

_BY_HAND = "llmrec releases"

Task = Annotated[
    Literal["rank", "answer"],
    typer.Option(help="rank: the order of lists, from what was taken; answer: how reasons are worded, from thumbs."),
]

_POLICIES = (
    "still, frozen, anew or evolving; with --llm adapter-anew, adapter-evolving or adapter-pulled too, which train the "
    "language model between blocks, as [learning] says. Repeatable; else the first four."
)

_releases_app = typer.Typer(invoke_without_command=True)
_learning_app = typer.Typer(no_args_is_help=True, help="What is learnt from what users did.")


def add_to(app: typer.Typer) -> None:
    """Make the commands known to the program."""
    app.command()(retrain)
    app.command()(replay)
    app.command()(forget)
    app.add_typer(_releases_app, name="releases")
    app.add_typer(_learning_app, name="learning")


def retrain(
    task: Task = "rank",
    anew: Annotated[bool, typer.Option(help="Train the encoder from nothing, and even without new events.")] = False,
    workspace: Workspace = HERE,
    as_json: AsJson = False,
) -> None:
    """Train the language model's adapter on what users did; the new release goes live if it is better.

    Exit status 3: it is not, and the live release stays. 0: it is live, or nothing new was there to learn from.

    Example: llmrec retrain -w shop
    """
    with opened(workspace) as rec:
        try:
            run = llmrec.learning.retrain(rec, anew=anew) if task == "rank" else llmrec.learning.retrain_answers(rec)
        except NothingNewError as error:
            _say_nothing_new(error, as_json=as_json)
            return
    if run is None:
        return  # another process of the same run tells of it
    if as_json:
        print_json(run.to_dict())
    else:
        outcome = "is live" if run.promoted else "is kept, but the release before stays live"
        say(f"release {run.release.version} {outcome}: {run.reason}")
        say(f"Next: {command('releases' if task == 'rank' else 'releases --task answer', workspace)}")
    if not run.promoted:
        raise typer.Exit(EXIT_NOT_PASSED)


def _say_nothing_new(error: NothingNewError, *, as_json: bool) -> None:
    """A timer that finds nothing to do has not failed."""
    if as_json:
        print_json({"release": None, "promoted": False, "reason": str(error)})
    else:
        say(f"{error}. To do it all the same: {error.hint}")


def replay(
    blocks: Annotated[int, typer.Option(help="How many blocks the log is cut into after the warm-up.")] = 5,
    requests: Annotated[int, typer.Option(help="Of each block so many events are foretold.")] = 500,
    warm_up: Annotated[float, typer.Option(help="The share of the events that the first release knows.")] = 0.5,
    policy: Annotated[list[str] | None, typer.Option(help=_POLICIES)] = None,
    llm: Annotated[bool, typer.Option(help="Let the language model rank.")] = False,
    html: Annotated[Path | None, typer.Option(help="Write a page with the curves.")] = None,
    workspace: Workspace = HERE,
    as_json: AsJson = False,
) -> None:
    """Play the log again in time order: how good lists would have been, frozen or learning. Resumable.

    Example: llmrec replay --blocks 5 --html replay.html -w shop
    """
    wanted = llmrec.learning.ReplayOptions(
        blocks, requests, warm_up, policies=llmrec.learning.policies_of(policy or llmrec.learning.PLAIN), llm=llm
    )
    if html is not None:
        from llmrec.service.evaluating import Outputs  # it brings torch

        Outputs(html=html).check()
    with opened(workspace) as rec:
        played = llmrec.learning.replay(rec, rec.workspace.root / "replay", wanted, progress=True)
    if html is not None:
        replace_file(html, llmrec.learning.replay_page(played).encode())
    if as_json:
        print_json(played.to_dict())
    else:
        print_table(f"Replay of {played.events} events, N@10 by block", *llmrec.learning.replay_table(played))


@_learning_app.command()
def export(
    out: Annotated[Path, typer.Argument(help="A file of JSON lines.")],
    since: Annotated[int, typer.Option(help="Only what arrived after this event sequence, or turn.")] = 0,
    task: Task = "rank",
    workspace: Workspace = HERE,
    as_json: AsJson = False,
) -> None:
    """Write the choices from shown lists, or the thumbs on reasons, in the columns of trl's KTO trainer, with a card.

    Example: llmrec learning export choices.jsonl -w shop
    """
    with opened(workspace) as rec:
        write = llmrec.learning.export_lists if task == "rank" else llmrec.learning.export_answers
        made = write(rec, out, since=since)
    if as_json:
        print_json({"path": str(made.path), **made.card})
    else:
        of = f" of {made.card['lists']} lists" if "lists" in made.card else ""
        say(f"{made.path} holds {made.card['rows']} rows{of}; its card lies beside it")


@_releases_app.callback()
def _list(context: typer.Context, task: Task = "rank", workspace: Workspace = HERE, as_json: AsJson = False) -> None:
    """The releases of a workspace; promote, roll back or install one.

    Example: llmrec releases -w shop
    """
    if context.invoked_subcommand:
        return
    with opened(workspace) as rec:
        live = rec.store.aliases.now(task)
        forgotten = rec.store.last_forgotten()
        found = [release.to_dict(live, forgotten) for release in _releases_of(rec, task).list()]
    if as_json:
        print_json(found)
    elif not found:
        begin = "fit" if task == "rank" else "retrain --task answer"
        say(f"there is no release yet. Next: {command(begin, workspace)}")
    else:
        rows = [[str(one["version"]), _state(one), str(one["created"])[:19], str(one["adapter"])] for one in found]
        print_table("Releases", ["version", "state", "made", "adapter"], rows)


@_releases_app.command()
def promote(context: typer.Context, version: str, workspace: Workspace = HERE, as_json: AsJson = False) -> None:
    """Make a release live.

    Example: llmrec releases promote rank/0002 -w shop
    """
    with opened(_meant(context, workspace)) as rec:
        releases = _releases_of(rec, "answer" if version.startswith("answer/") else "rank")
        _say_live(releases.promote(version, _BY_HAND), as_json=_is_json(context, as_json))


@_releases_app.command()
def rollback(context: typer.Context, task: Task = "rank", workspace: Workspace = HERE, as_json: AsJson = False) -> None:
    """Make the release live again that was live before.

    Example: llmrec releases rollback -w shop
    """
    with opened(_meant(context, workspace)) as rec:
        releases = _releases_of(rec, _task_of(context, task))
        _say_live(releases.rollback(_BY_HAND), as_json=_is_json(context, as_json))


@_releases_app.command()
def install(
    context: typer.Context,
    directory: Annotated[Path, typer.Argument(help="Holds a release, such as adapters/ml-100k.")],
    workspace: Workspace = HERE,
    as_json: AsJson = False,
) -> None:
    """Take up a release that was made elsewhere, and make it live.

    Example: llmrec releases install adapters/ml-100k -w demo-ml-100k
    """
    with opened(_meant(context, workspace)) as rec:
        _say_live(rec.install(directory), as_json=_is_json(context, as_json))


@_releases_app.command()
def log(context: typer.Context, task: Task = "rank", workspace: Workspace = HERE, as_json: AsJson = False) -> None:
    """What became of each release, when, through whom and why, oldest first.

    Example: llmrec releases log -w shop
    """
    with opened(_meant(context, workspace)) as rec:
        deeds = [deed.to_dict() for deed in _releases_of(rec, _task_of(context, task)).log()]
    if _is_json(context, as_json):
        print_json(deeds)
    else:
        rows = [[one["time"][:19], *(one[key] for key in ("release", "state", "who", "why"))] for one in deeds]
        print_table("What became of releases", ["when", "release", "state", "who", "why"], rows)


def _releases_of(rec: llmrec.Recommender, task: str) -> ReleaseStore:
    return rec.releases if task == "rank" else ReleaseStore(rec.workspace.releases, rec.store, task)


def _meant(context: typer.Context, workspace: Path) -> Path:
    """`releases -w DIR promote` means the same as `releases promote -w DIR`."""
    assert context.parent is not None
    given: Path = context.parent.params["workspace"]
    return given if workspace == HERE else workspace


def _task_of(context: typer.Context, task: Task) -> Task:
    """`releases --task answer rollback` means the same as `releases rollback --task answer`."""
    assert context.parent is not None
    given: Task = context.parent.params["task"]
    return given if task == "rank" else task


def _is_json(context: typer.Context, as_json: bool) -> bool:
    return as_json or bool(context.parent and context.parent.params["as_json"])


def _say_live(release: Release, *, as_json: bool) -> None:
    if as_json:
        print_json({"release": release.version})
    else:
        say(f"release {release.version} is live")


def _state(release: Mapping[str, object]) -> str:
    deleted = "may have learnt from a deleted user: retrain" if release["learnt_from_deleted"] else ""
    return "; ".join(word for word in ("live" if release["live"] else "", deleted) if word)


def forget(user: str, workspace: Workspace = HERE, as_json: AsJson = False) -> None:
    """Delete a user for good: what is known of them, what they did, what was recommended to them.

    Example: llmrec forget 42 -w shop
    """
    with opened(workspace) as rec:
        gone = rec.forget(user)
    if as_json:
        print_json(gone)
    else:
        told = ", ".join(f"{count} {name}" for name, count in gone.items() if name != "users")
        say(f"deleted of {user}: {told}")
        say(f"Releases made before may have learnt from them. Next: {command('retrain', workspace)}")
