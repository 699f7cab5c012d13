"""Plots of a report, each as one SVG picture."""

from __future__ import annotations

import io
import warnings
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from functools import partial
from importlib.util import find_spec
from typing import Any

import numpy as np

from llmrec.errors import MissingExtraError
from llmrec.evaluation.report import Report
from llmrec.evaluation.uncertainty import Interval

__all__ = ["draw_plots", "picture", "require_plots"]

_SETTINGS = {
    # Text stays text: the reader's fonts have signs that matplotlib's own does not.
    "svg.fonttype": "none",
    # The same report gives the same bytes.
    "svg.hashsalt": "llmrec",
    # A dollar in a name is a dollar.
    "text.parse_math": False,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.alpha": 0.3,
}
_SHOWN = ("ndcg@10", "recall@10", "mrr@10", "recall@20")
_SLICED = "recall@10"
_POPULARITY = "popularity@10"
_BIAS = "popularity_bias@10"
_SPREAD = 0.8


def draw_plots(report: Report) -> dict[str, bytes]:
    """Title -> SVG: metrics with their intervals, recall by slice, recall by depth, popularity of what is recommended.

    Raises:
        MissingExtraError: matplotlib is not installed.
    """
    plots: Mapping[str, Callable[..., None]] = {
        "Quality, with 95% intervals": _draw_metrics,
        f"{_SLICED} by slice": _draw_slices,
        "Recall by length of the list": _draw_curves,
        "Popularity of what is recommended": _draw_popularity,
    }
    return {title: picture(partial(draw, report=report)) for title, draw in plots.items()}


def require_plots() -> None:
    """Refuse before a long evaluation what `draw_plots` would refuse after it.

    Raises:
        MissingExtraError: matplotlib is not installed.
    """
    if find_spec("matplotlib") is None:
        raise MissingExtraError("matplotlib", extra="report", purpose="drawing the report's plots")


def picture(draw: Callable[[Any], None]) -> bytes:
    """What is drawn on matplotlib's axes, as SVG.

    Raises:
        MissingExtraError: matplotlib is not installed.
    """
    try:
        from matplotlib import rc_context
        from matplotlib.backends.backend_svg import FigureCanvasSVG
        from matplotlib.figure import Figure
    except ModuleNotFoundError as error:
        raise MissingExtraError("matplotlib", extra="report", purpose="drawing the report's plots") from error
    picture = io.BytesIO()
    with rc_context(_SETTINGS), _quiet():
        figure = Figure(figsize=(8, 3.6), layout="constrained")
        draw(figure.subplots())
        FigureCanvasSVG(figure).print_svg(picture, metadata={"Date": None})
    return picture.getvalue()


def _quiet() -> AbstractContextManager[Any]:
    """Without the warning that matplotlib's own font lacks a sign: it only measures with it here."""
    return warnings.catch_warnings(action="ignore", category=UserWarning)


def _draw_metrics(axes: Any, report: Report) -> None:
    shown = [metric for metric in _SHOWN if any(metric in found for found in report.systems.values())]
    of_system = {name: [found.get(metric) for metric in shown] for name, found in report.systems.items()}
    _draw_groups(axes, shown, of_system)


def _draw_slices(axes: Any, report: Report) -> None:
    names = ["all", *report.slices]
    of_system = {
        name: [found.get(_SLICED), *(part.systems[name].get(_SLICED) for part in report.slices.values())]
        for name, found in report.systems.items()
    }
    sizes = [report.users, *(part.users for part in report.slices.values())]
    _draw_groups(axes, [f"{name}\n{size} users" for name, size in zip(names, sizes, strict=True)], of_system)
    axes.set_ylabel(_SLICED)


def _draw_curves(axes: Any, report: Report) -> None:
    for name, curve in report.curves.items():
        axes.plot(range(1, len(curve) + 1), curve, label=name)
    axes.set_xlabel("items in the list")
    axes.set_ylabel("recall")
    _legend(axes)


def _draw_popularity(axes: Any, report: Report) -> None:
    _draw_groups(axes, [""], {name: [found.get(_POPULARITY)] for name, found in report.systems.items()})
    histories = _popularity_of_histories(report)
    if histories is not None:
        axes.axhline(histories, linestyle="--", color="0.4", label="the users' histories")
        _legend(axes)
    axes.set_ylabel("mean popularity percentile")
    axes.set_ylim(0, 1.02)


def _popularity_of_histories(report: Report) -> float | None:
    """What is recommended to a user less its bias is what their history has; the same for every system."""
    for found in report.per_user.values():
        if _POPULARITY in found:
            level = found[_POPULARITY] - found[_BIAS]
            return float(np.nanmean(level)) if np.isfinite(level).any() else None
    return None


def _draw_groups(axes: Any, groups: Sequence[str], of_system: Mapping[str, Sequence[Interval | None]]) -> None:
    """A point with its interval for each system in each group; systems stand side by side."""
    for place, (name, found) in enumerate(of_system.items()):
        offset = ((place + 0.5) / len(of_system) - 0.5) * _SPREAD
        points = [(group + offset, *_ends(one)) for group, one in enumerate(found) if one and one.value is not None]
        where, heights, low, high = np.array(points).reshape(-1, 4).T
        axes.errorbar(where, heights, yerr=[heights - low, high - heights], fmt="o", capsize=3, label=name)
    axes.set_xticks(range(len(groups)), groups)
    axes.set_xlim(-0.5, len(groups) - 0.5)
    axes.set_ylim(bottom=0)
    _legend(axes)


def _ends(one: Interval) -> tuple[float | None, float | None, float | None]:
    """The value and the ends of its interval, which is nothing where there is none."""
    return one.value, one.value if one.low is None else one.low, one.value if one.high is None else one.high


def _legend(axes: Any) -> None:
    axes.legend(loc="center left", bbox_to_anchor=(1.0, 0.5), frameon=False)
