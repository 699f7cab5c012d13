"""What the terminal shows: tables for people, JSON for machines, progress and errors on standard error."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.table import Column, Table
from rich.text import Text

from llmrec.data import ImportReport
from llmrec.errors import ImportRefused, LlmrecError
from llmrec.records import Event, Explanation, Item, RankedItem, Recommendation, in_words

if TYPE_CHECKING:
    from llmrec.chat import Reply
    from llmrec.data.turns import Turn
    from llmrec.evaluation import Report

__all__ = [
    "error_text",
    "print_error",
    "print_evidence",
    "print_explanation",
    "print_fallback",
    "print_history",
    "print_import",
    "print_json",
    "print_ranked",
    "print_recommendation",
    "print_reply",
    "print_report",
    "print_table",
    "print_turns",
    "say",
    "visible",
]

_BAR_WIDTH = 20
_SHOWN_EVIDENCE = 8


def visible(text: str) -> Text:
    """Foreign text as text: no markup, and no character that moves the cursor or turns the writing direction."""
    return Text("".join(char if char.isprintable() or char == "\u200d" else "\ufffd" for char in text))


def say(message: str) -> None:
    """A line of progress, for people."""
    # A terminal breaks long lines itself, and in a file or a pipe they must stay whole.
    Console(stderr=True).print(Text(message), soft_wrap=True)


def print_json(value: object) -> None:
    """One JSON value on standard output."""
    sys.stdout.write(json.dumps(value, ensure_ascii=False, indent=2) + "\n")


def print_reply(reply: Reply) -> None:
    """What a conversation answers."""
    console = Console()
    for line in reply.text.split("\n"):
        console.print(visible(line), soft_wrap=True)
    if reply.explanation is not None:
        print_evidence(reply.explanation)
    console.print()


def print_turns(turns: Sequence[Turn]) -> None:
    """What was said in conversations."""
    console = Console()
    for turn in turns:
        console.print(visible(f"{turn.time:%Y-%m-%d %H:%M} > {turn.said}"), soft_wrap=True)
        for line in turn.answered.split("\n"):
            console.print(visible(f"    {line}"), soft_wrap=True)


def print_table(title: str, columns: Sequence[str], rows: Sequence[Sequence[str | Text]]) -> None:
    """A table; plain strings are foreign text."""
    # Long cells go on in the next line: a path that is cut short is of no use.
    headers = [Column(name, overflow="fold") for name in columns]
    table = Table(*headers, title=Text(title), title_justify="left")
    for row in rows:
        table.add_row(*(cell if isinstance(cell, Text) else visible(cell) for cell in row))
    Console().print(table)


def print_recommendation(recommendation: Recommendation, *, empty: str = "every item was seen or hidden.") -> None:
    """The ranked items, and whatever the reader should know about how they came about.

    Args:
        recommendation: The answer.
        empty: Why it holds no item, if it holds none.
    """
    trace = recommendation.trace
    if not recommendation.items:
        Console().print(Text("Nothing is left to recommend: ") + visible(empty), soft_wrap=True)
    else:
        print_ranked(f"For user {recommendation.user_id}, from {trace.candidates} candidates", recommendation.items)
    print_fallback(recommendation.fallback)
    for note in trace.notes:
        say(f"note: {note}")


def print_fallback(reason: str | None) -> None:
    """Why the language model did not rank, if it should have."""
    if reason:
        say(f"fallback: {reason}; this is the retriever's order")


def print_ranked(title: str, ranked: Sequence[RankedItem]) -> None:
    """Items with their scores, parts and attributes."""
    parts = list(ranked[0].parts) if ranked else []
    rows: list[list[str | Text]] = [
        [
            str(one.rank),
            one.item.item_id,
            _with_attributes(one.item),
            f"{one.score:.2f}",
            *(f"{one.parts[name]:+.2f}" for name in parts),
            f"{one.probability:.1%}",
        ]
        for one in ranked
    ]
    print_table(title, ["", "id", "title", "score", *parts, "chance"], rows)


def _with_attributes(item: Item) -> Text:
    return visible(item.title) + Text("\n") + Text(visible(in_words(item.attributes)).plain, style="dim")


def print_history(title: str, events: Sequence[Event], items: Mapping[str, Item]) -> None:
    """The newest events of a user."""
    rows = [
        [
            event.timestamp.date().isoformat() if event.timestamp else "",
            event.kind if event.value is None else f"{event.kind} {event.value:g}",
            items[event.item_id].title if event.item_id else event.text or "",
        ]
        for event in events
    ]
    print_table(title, ["when", "what", "item"], rows)


def print_explanation(explanation: Explanation) -> None:
    """The words, and the strongest evidence as bars."""
    console = Console()
    # In a file or a pipe the paragraph is one line.
    console.print(visible(explanation.text), soft_wrap=not console.is_terminal)
    print_evidence(explanation)
    if explanation.fallback:
        say(f"fallback: {explanation.fallback}; these are the retriever's reasons")


def print_evidence(explanation: Explanation) -> None:
    """The strongest events as bars."""
    console = Console()
    shown = [one for one in explanation.evidence if one.kind == "event" and one.strength][:_SHOWN_EVIDENCE]
    longest = max((abs(one.strength) for one in shown), default=1.0)
    for one in shown:
        bar = ("+" if one.strength > 0 else "-") * max(1, round(_BAR_WIDTH * abs(one.strength) / longest))
        console.print(Text(f"  {one.strength:+6.2f} {bar:<{_BAR_WIDTH}} ") + visible(f"you {one.text}"), soft_wrap=True)


def print_report(report: Report) -> None:
    """What an evaluation found, in 80 columns: systems, differences, slices, and what a reader should know."""
    title = f"{report.data['name']}: {report.protocol['name']}, {report.users} users, {report.candidates} items"
    print_table(title, *report.summary_table())
    tables = {
        "Differences on the same users": report.short_paired_table(),
        "Slices": report.short_slice_table(),
        "Shown and answered": report.release_table(),
    }
    for name, (columns, rows) in tables.items():
        if rows:
            print_table(name, columns, rows)
    for note in report.notes:
        Console().print(Text("note: ") + visible(note))


def print_import(report: ImportReport) -> None:
    """What an import added, changed and left out."""
    rows = [[str(name), *(str(number) for number in counts)] for name, counts in import_counts(report)]
    print_table("Imported", ["", "new", "updated", "already there"], rows)
    if report.skipped_total:
        say(f"{report.skipped_total} bad rows were left out:")
        for row in report.skipped:
            say(f"  {row}")


def import_counts(report: ImportReport) -> list[tuple[str, tuple[int, int, int]]]:
    """Kind of record -> how many are new, updated, and were there already."""
    kinds = (("users", report.users), ("items", report.items), ("events", report.events))
    return [(name, (counts.added, counts.updated, counts.repeated)) for name, counts in kinds]


def error_text(error: LlmrecError) -> str:
    """What went wrong, the rows it is about, and the next step."""
    lines = [f"error: {error}"]
    if isinstance(error, ImportRefused):
        lines += [f"  {row}" for row in error.rows]
        if error.total > len(error.rows):
            lines.append(f"  … and {error.total - len(error.rows)} more")
    return "\n".join([*lines, f"next step: {error.hint}"])


def print_error(error: LlmrecError, *, as_json: bool) -> None:
    """An expected error, on standard error."""
    if not as_json:
        say("\n".join(visible(line).plain for line in error_text(error).splitlines()))
        return
    body: dict[str, Any] = {"type": type(error).__name__, "message": str(error), "hint": error.hint}
    if isinstance(error, ImportRefused):
        body |= {"rows": [str(row) for row in error.rows], "total": error.total}
    sys.stderr.write(json.dumps({"error": body}, ensure_ascii=False, indent=2) + "\n")
