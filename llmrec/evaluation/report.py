"""The report: several systems on the same requests, with intervals, paired differences and slices.

Every metric has a 95% interval by bootstrap over users; only `coverage@k`, which belongs to the lists as a whole, has
none.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from llmrec.evaluation.impressions import ReleaseOutcome
from llmrec.evaluation.interactions import Floats
from llmrec.evaluation.reliability import Reliability
from llmrec.evaluation.uncertainty import Comparison, Interval

__all__ = ["Report", "SliceReport"]

Metrics = Mapping[str, Interval]
PerUser = Mapping[str, Floats]

_TABLE = ("ndcg@10", "recall@10", "recall@20", "mrr@10", "coverage@10", "novelty@10")
_SUMMARY = {"R@10": "recall@10", "R@20": "recall@20", "R@50": "recall@50", "MRR@10": "mrr@10", "cov@10": "coverage@10"}


@dataclass(frozen=True, slots=True)
class SliceReport:
    """How the systems do on some of the requests: system -> metric -> interval."""

    users: int
    systems: Mapping[str, Metrics]

    def to_dict(self) -> dict[str, Any]:
        """The JSON form."""
        return {"users": self.users, "systems": {name: _metrics_dict(found) for name, found in self.systems.items()}}


@dataclass(frozen=True, slots=True, eq=False)
class Report:
    """What an evaluation found.

    Args:
        data: From `describe_data`.
        protocol: What was asked, and how.
        users: How many users were asked about.
        candidates: How many items each of them could have got.
        seconds: System -> fit and rank.
        environment: From `describe_environment`.
        systems: System -> metric -> interval.
        paired: ``first-second`` -> metric -> by how much the first is better.
        slices: Slice -> how the systems do there.
        curves: System -> recall at every depth from 1 on.
        per_user: System -> metric -> a value for each user that was asked about, in their order; not in the JSON.
        notes: What a reader should know.
        releases: What users did with what was really shown, by release.
        reliability: Whether the probabilities of systems that give any mean what they say.
    """

    data: Mapping[str, Any]
    protocol: Mapping[str, Any]
    users: int
    candidates: int
    seconds: Mapping[str, Mapping[str, float]]
    environment: Mapping[str, Any]
    systems: Mapping[str, Metrics]
    paired: Mapping[str, Mapping[str, Comparison]]
    slices: Mapping[str, SliceReport]
    curves: Mapping[str, Sequence[float]]
    per_user: Mapping[str, PerUser] = field(repr=False)
    notes: Sequence[str] = ()
    releases: Mapping[str, ReleaseOutcome] = field(default_factory=dict)
    reliability: Mapping[str, Reliability] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """The JSON form of the contract."""
        return {
            "data": dict(self.data),
            "protocol": dict(self.protocol),
            "users": self.users,
            "candidates": self.candidates,
            "seconds": {name: dict(parts) for name, parts in self.seconds.items()},
            "environment": dict(self.environment),
            "systems": {name: _metrics_dict(found) for name, found in self.systems.items()},
            "paired": {
                pair: {metric: one.to_dict() for metric, one in found.items()} for pair, found in self.paired.items()
            },
            "slices": {name: part.to_dict() for name, part in self.slices.items()},
            "recall_curve": {name: list(curve) for name, curve in self.curves.items()},
            "releases": {name: outcome.to_dict() for name, outcome in self.releases.items()},
            "reliability": {name: found.to_dict() for name, found in self.reliability.items()},
            "notes": list(self.notes),
        }

    def table(self, metrics: Sequence[str] = _TABLE) -> tuple[list[str], list[list[str]]]:
        """Columns and rows for a page: a row for each system, the value with its interval in each cell."""
        shown = [metric for metric in metrics if any(metric in found for found in self.systems.values())]
        rows = [
            [name, *(_cell(found.get(metric)) for metric in shown), f"{sum(self.seconds[name].values()):.1f}"]
            for name, found in self.systems.items()
        ]
        return ["system", *shown, "seconds"], rows

    def summary_table(self) -> tuple[list[str], list[list[str]]]:
        """Columns and rows that fit a terminal of 80 columns: a row for each system, the interval of NDCG@10 only."""
        rows = [
            [name, *_short_cells(found.get("ndcg@10")), *(_short(_value(found.get(one))) for one in _SUMMARY.values())]
            for name, found in self.systems.items()
        ]
        return ["system", "N@10", "95%", *_SUMMARY], rows

    def short_paired_table(self) -> tuple[list[str], list[list[str]]]:
        """Columns and rows that fit a terminal of 80 columns: a row for each pair, the difference in NDCG@10."""
        rows = [[pair, *_short_differences(found["ndcg@10"])] for pair, found in self.paired.items()]
        return ["pair", "N@10", "95%", "p"], rows

    def short_slice_table(self) -> tuple[list[str], list[list[str]]]:
        """Columns and rows that fit a terminal of 80 columns: a row for each system, its recall@10 in each slice.

        Of the slices those that are no user group, and have users.
        """
        shown = {name: part for name, part in self.slices.items() if part.users and "=" not in name}
        rows = [
            [system, *(_short(_value(part.systems[system].get("recall@10"))) for part in shown.values())]
            for system in self.systems
        ]
        columns = ["R@10", *(f"{name.removesuffix('_items')} ({part.users})" for name, part in shown.items())]
        return columns, rows if shown else []

    def metrics_table(self) -> tuple[list[str], list[list[str]]]:
        """Columns and rows for a page: a row for each metric, a column for each system."""
        metrics = dict.fromkeys(metric for found in self.systems.values() for metric in found)
        rows = [[metric, *(_cell(found.get(metric)) for found in self.systems.values())] for metric in metrics]
        return ["metric", *self.systems], rows

    def paired_table(self, metrics: Sequence[str] = ("ndcg@10", "recall@10")) -> tuple[list[str], list[list[str]]]:
        """Columns and rows for a page: a row for each pair, the difference with interval and p in each cell."""
        rows = [
            [pair, *(_difference_cell(found.get(metric)) for metric in metrics)] for pair, found in self.paired.items()
        ]
        return ["pair", *metrics], rows

    def slice_table(self, metric: str = "recall@10") -> tuple[list[str], list[list[str]]]:
        """Columns and rows for a page: a row for each slice, a column for each system."""
        rows = [
            [name, str(part.users), *(_cell(part.systems[system].get(metric)) for system in self.systems)]
            for name, part in self.slices.items()
        ]
        return [f"{metric} in", "users", *self.systems], rows

    def release_table(self) -> tuple[list[str], list[list[str]]]:
        """Columns and rows that fit a terminal of 80 columns: a row for each release, its rates with intervals."""
        rows = [
            [
                name,
                str(outcome.impressions),
                _share_cell(outcome.click_through_rate),
                str(outcome.opinions),
                _share_cell(outcome.satisfaction),
            ]
            for name, outcome in self.releases.items()
        ]
        return ["release", "shown", "clicked", "judged", "satisfied"], rows


def _metrics_dict(found: Metrics) -> dict[str, Any]:
    return {metric: interval.to_dict() for metric, interval in found.items()}


def _cell(interval: Interval | None) -> str:
    if interval is None or interval.value is None:
        return "-"
    if interval.low is None or interval.high is None:
        return f"{interval.value:.4f}"
    return f"{interval.value:.4f} [{interval.low:.4f}, {interval.high:.4f}]"


def _share_cell(share: Interval) -> str:
    if share.value is None or share.low is None or share.high is None:
        return "-"
    return f"{share.value:.1%} [{share.low:.1%}, {share.high:.1%}]"


def _value(interval: Interval | None) -> float | None:
    return None if interval is None else interval.value


def _short(value: float | None, *, sign: str = "") -> str:
    """As papers write shares, in five characters: .1052, 1.000."""
    if value is None:
        return "-"
    return f"{value:{sign}.4f}".replace("0.", ".", 1) if abs(value) < 1 else f"{value:{sign}.3f}"


def _short_cells(interval: Interval | None) -> tuple[str, str]:
    if interval is None:
        return "-", "-"
    return _short(interval.value), f"{_short(interval.low)} {_short(interval.high)}"


def _short_differences(found: Comparison) -> tuple[str, str, str]:
    ends = " ".join(_short(end, sign="+") for end in (found.low, found.high))
    return _short(found.difference, sign="+"), ends, "-" if found.p is None else f"{found.p:.3f}"


def _difference_cell(comparison: Comparison | None) -> str:
    if comparison is None or comparison.difference is None:
        return "-"
    return f"{comparison.difference:+.4f} [{comparison.low:+.4f}, {comparison.high:+.4f}] p={comparison.p:.3g}"
