"""What the gate says of a release, check by check."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from llmrec.evaluation.uncertainty import Comparison

__all__ = ["Check", "Verdict"]


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that was looked at.

    Args:
        name: quality, calibration, exposure, latency or safety.
        passed: Whether it speaks for letting the challenger go live.
        said: What was found, in words.
        figures: What it rests on.
    """

    name: str
    passed: bool
    said: str
    figures: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Verdict:
    """What the gate says.

    Args:
        passed: Whether the challenger may go live.
        reason: Why, or why not.
        users: How many requests both answered.
        comparison: Of N@10, challenger less champion; None: there was no champion.
        exposed: Items that came onto too many more lists, with the share of the lists before and after.
        checks: Each thing that was looked at; none where there was nothing to compare with.
    """

    passed: bool
    reason: str
    users: int
    comparison: Comparison | None = None
    exposed: tuple[tuple[str, float, float], ...] = ()
    checks: tuple[Check, ...] = ()

    @property
    def refused_by(self) -> tuple[str, ...]:
        """The checks that it did not pass."""
        return tuple(check.name for check in self.checks if not check.passed)

    def to_dict(self) -> dict[str, Any]:
        """The JSON form."""
        return {
            **asdict(self),
            "comparison": self.comparison.to_dict() if self.comparison else None,
            "refused_by": list(self.refused_by),
        }
