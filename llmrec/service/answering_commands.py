"""The commands that answer, and what is answered to that: `llmrec recommend`, `rank`, `why` and `feedback`."""

from __future__ import annotations

import shlex
from typing import Annotated

import typer

import llmrec
from llmrec.errors import ConfigError
from llmrec.service.conditions import where_of, why_empty
from llmrec.service.options import HERE, AsJson, Context, Workspace, command, context_of, opened
from llmrec.service.printing import (
    print_explanation,
    print_fallback,
    print_json,
    print_ranked,
    print_recommendation,
    say,
)

__all__ = ["add_to"]


def add_to(app: typer.Typer) -> None:
    """Make the commands known to the program."""
    for one in (recommend, rank, why, feedback):
        app.command()(one)


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
    asked = where_of(where or ())
    with opened(workspace) as rec:
        answer = rec.recommend(
            user,
            n,
            where=asked or None,
            context=context_of(context),
            llm=llm,
            filter_seen=None if seen is None else not seen,
            diversity=diversity,
        )
        empty = "" if answer.items else why_empty(rec, asked)
    if as_json:
        print_json(answer.to_dict())
        return
    print_recommendation(answer, empty=empty)
    if answer.items and llm is None:
        # The explanation is of the same score: in the same situation, by the same opinions.
        situation = "".join(f" --context {shlex.quote(one)}" for one in context or ())
        first = f"{shlex.quote(user)} {shlex.quote(answer.items[0].item.item_id)}"
        say(f"Next: {command(f'why {first}{situation}', workspace)}")


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
        ranked = rec.rank(history, candidates, user_id=user, context=context_of(context), llm=llm)
    if as_json:
        print_json(ranked.to_dict())
    else:
        print_ranked("Ranked", ranked)
        print_fallback(ranked.fallback)


def why(user: str, item: str, context: Context = None, workspace: Workspace = HERE, as_json: AsJson = False) -> None:
    """Why an item gets its score for a user; in a situation, give recommend's --context here too.

    Example: llmrec why 42 50 -w demo-ml-100k
    """
    with opened(workspace) as rec:
        explanation = rec.explain(user, item, context=context_of(context))
    if as_json:
        print_json(explanation.to_dict())
    else:
        print_explanation(explanation)


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
