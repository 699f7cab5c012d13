"""The periodic run: refit the retriever, train the language model's adapter, and let only a better release go live."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from llmrec.learning.lessons import is_helper
from llmrec.learning.ranker import assist, train_ranker
from llmrec.recommender import Recommender
from llmrec.releases import Release

__all__ = ["Retraining", "retrain"]


@dataclass(frozen=True, slots=True)
class Retraining:
    """What a run came to.

    Args:
        release: What it made.
        promoted: Whether that is live now.
        reason: Why, or why not.
    """

    release: Release
    promoted: bool
    reason: str

    def to_dict(self) -> dict[str, Any]:
        """The JSON form."""
        return {
            "release": self.release.version,
            "promoted": self.promoted,
            "reason": self.reason,
            "metrics": dict(self.release.manifest["metrics"]),
        }


def retrain(rec: Recommender, *, progress: bool | None = None) -> Retraining | None:
    """Train an adapter on what users did, and make a release with it; it goes live if it is better than none.

    An interrupted run leaves the live release as it is, and the next one goes on from its checkpoints. Under
    `accelerate launch` several processes train together.

    Args:
        rec: The workspace.
        progress: Show bars; None: when standard error is a terminal.

    Returns:
        What came of it; None in every process but the first.

    Raises:
        BusyError: A fit, import or retrain is running.
        DataError: There is too little behaviour.
        ModelError: The language model cannot be trained.
    """
    if is_helper():
        assist(rec.settings, rec.workspace.training / "encoder.safetensors")
        return None
    release = rec.make_release("retrain", train_ranker, progress=progress)
    found = release.manifest["metrics"]["adapter"]
    gain, lists = max(found["gains"]), found["validation_lists"]
    reason = f"on {lists} held-out lists the adapter makes what was taken {gain:+.4f} likelier (log chance)"
    if gain > 0:
        rec.releases.promote(release.version)
    return Retraining(release, gain > 0, reason)
