"""What was shown, as the store keeps it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from llmrec.records.answers import Recommendation

__all__ = ["Shown", "ShownItem"]


@dataclass(frozen=True, slots=True)
class ShownItem:
    """One place of a list that was recommended.

    Args:
        item_id: The item.
        score: Its score.
        parts: What that is the sum of.
        propensity: The chance that the place would hold it, given the places above; None: nothing was left to chance.
    """

    item_id: str
    score: float
    parts: Mapping[str, float]
    propensity: float | None = None


@dataclass(frozen=True, slots=True)
class Shown:
    """A list that was recommended, as the store keeps it.

    Args:
        recommendation_id: Its id, which feedback refers to.
        user_id: To whom.
        release: The release that made it.
        prompt: What identifies how the language model was asked; None: it was not.
        time: When.
        last_sequence: The newest event of any user that was stored then: the history as it was known.
        items: Best first.
    """

    recommendation_id: str
    user_id: str
    release: str
    prompt: str | None
    time: datetime
    last_sequence: int
    items: tuple[ShownItem, ...]

    @classmethod
    def of(cls, answer: Recommendation, last_sequence: int, propensities: Sequence[float] = ()) -> Shown:
        """What is kept of an answer; with the propensity of each place, where some were drawn."""
        chances = propensities or (None,) * len(answer.items)
        return cls(
            answer.id,
            str(answer.user_id),
            str(answer.release),
            answer.trace.prompt_fingerprint,
            datetime.now(UTC),
            last_sequence,
            tuple(
                ShownItem(one.item.item_id, one.score, dict(one.parts), chance)
                for one, chance in zip(answer.items, chances, strict=True)
            ),
        )
