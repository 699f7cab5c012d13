"""Whether a probability means what it says: log-loss and reliability over the first places of every list."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["Reliability", "reliability"]

Floats = NDArray[np.float64]

_BINS = 10
_LEAST = 1e-9


@dataclass(frozen=True, slots=True)
class Reliability:
    """How good the probabilities of the first places are.

    Args:
        log_loss: Mean of -log of the chance given to what happened, taken or not, over places.
        base_log_loss: The same for somebody who always names the share that was really taken.
        bins: Tenths of the places by rising probability: mean probability, share taken, places.
    """

    log_loss: float
    base_log_loss: float
    bins: Sequence[tuple[float, float, int]]

    def to_dict(self) -> dict[str, Any]:
        """The JSON form."""
        named = [{"probability": chance, "taken": share, "places": places} for chance, share, places in self.bins]
        return {"log_loss": self.log_loss, "base_log_loss": self.base_log_loss, "bins": named}


def reliability(probabilities: Mapping[str, Floats], taken: Mapping[str, NDArray[np.bool_]]) -> dict[str, Reliability]:
    """Of each system.

    Args:
        probabilities: System -> the chance given to each place, [places].
        taken: System -> whether that item was taken, [places].
    """
    return {name: _reliability(chances, taken[name]) for name, chances in probabilities.items()}


def _reliability(chances: Floats, taken: NDArray[np.bool_]) -> Reliability:
    order = np.argsort(chances, kind="stable")
    parts = [part for part in np.array_split(order, _BINS) if len(part)]
    base = np.full(len(taken), taken.mean() if len(taken) else 0.0)
    return Reliability(
        _log_loss(chances, taken),
        _log_loss(base, taken),
        tuple((float(chances[part].mean()), float(taken[part].mean()), len(part)) for part in parts),
    )


def _log_loss(chances: Floats, taken: NDArray[np.bool_]) -> float:
    of_what_happened = np.where(taken, chances, 1 - chances)
    return float(-np.log(np.clip(of_what_happened, _LEAST, 1)).mean()) if len(taken) else 0.0
