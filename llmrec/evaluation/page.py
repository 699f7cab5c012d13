"""The report as one HTML page that needs nothing else: no scripts, no fonts, no requests to anywhere."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Iterable, Mapping, Sequence
from html import escape

from llmrec.evaluation.plots import draw_plots
from llmrec.evaluation.report import Report

__all__ = ["document", "figure", "report_page", "section"]

_STYLE = """
body { font: 16px/1.5 system-ui, sans-serif; max-width: 62rem; margin: 2rem auto; padding: 0 1rem; color: #222; }
table { border-collapse: collapse; margin: 1rem 0; display: block; overflow-x: auto; }
th, td { padding: .3rem .7rem; border-bottom: 1px solid #ddd; text-align: left; white-space: nowrap; }
figure { margin: 2rem 0; } figcaption { font-weight: 600; } img { width: 100%; background: #fff; }
"""


def report_page(report: Report) -> str:
    """The page; every text in it is escaped.

    Raises:
        MissingExtraError: matplotlib is not installed.
    """
    title = f"Evaluation on {report.data.get('name', 'interactions')}"
    body = [
        f"<h1>{escape(title)}</h1>",
        f"<p>{escape(_summary(report))}</p>",
        *(f"<p>{escape(note)}</p>" for note in report.notes),
        section("Systems", report.table()),
        *(figure(caption, svg) for caption, svg in draw_plots(report).items()),
        section("Differences on the same users", report.paired_table()),
        section("Slices", report.slice_table()),
        section("All metrics", report.metrics_table()),
        section("Shown and answered, by release", report.release_table()),
        _facts("Data", report.data),
        _facts("Protocol", report.protocol),
        _facts("Machine", report.environment),
    ]
    return document(title, body)


def document(title: str, body: Iterable[str]) -> str:
    """A page of parts that are HTML already."""
    return "\n".join((*_head(title), *body, "</body></html>", ""))


def _head(title: str) -> Iterable[str]:
    # Nothing may be loaded or run, whatever a name holds.
    policy = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"
    return (
        '<!DOCTYPE html><html lang="en"><head><meta charset="utf-8">',
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">',
        '<meta name="viewport" content="width=device-width, initial-scale=1">',
        f"<title>{escape(title)}</title><style>{_STYLE}</style></head><body>",
    )


def _summary(report: Report) -> str:
    protocol = report.protocol.get("name", "")
    return (
        f"{report.users} requests, {protocol}; each list is ranked out of all {report.candidates} items, without those "
        "of the history. In brackets: 95% intervals over users by bootstrap."
    )


def section(title: str, table: tuple[Sequence[str], Sequence[Sequence[str]]]) -> str:
    """A heading and a table of columns and rows; empty where there is no row."""
    columns, rows = table
    if not rows:
        return ""
    head = "".join(f"<th>{escape(column)}</th>" for column in columns)
    lines = "".join("<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in row) + "</tr>" for row in rows)
    return f"<h2>{escape(title)}</h2><table><thead><tr>{head}</tr></thead><tbody>{lines}</tbody></table>"


def figure(caption: str, svg: bytes) -> str:
    """A picture with its caption."""
    # As an image a picture cannot run anything, and its ids cannot meet those of another.
    data = b64encode(svg).decode()
    name = escape(caption)
    return f'<figure><figcaption>{name}</figcaption><img alt="{name}" src="data:image/svg+xml;base64,{data}"></figure>'


def _facts(title: str, facts: Mapping[str, object]) -> str:
    return section(title, (["", ""], [[str(name), str(value)] for name, value in facts.items()]))
