"""What a conversation answers, and what holds after a turn."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from llmrec.chat.constraints import Constraints
from llmrec.records import Explanation, Recommendation

__all__ = ["Action", "Reply", "State", "Step"]

_STRONGEST = 20
"""Of each kind so much evidence is kept of a reply."""


@dataclass(frozen=True, slots=True)
class Action:
    """Something a turn did.

    Args:
        kind: hidden, disliked, rated, commented, seen, filtered, unfiltered, taken_back or deleted.
        text: What it did, in words.
        item_id: On which item, if on one.
    """

    kind: str
    text: str
    item_id: str | None = None

    def to_dict(self) -> dict[str, Any]:
        """The JSON form."""
        return {"kind": self.kind, "text": self.text, "item_id": self.item_id}


@dataclass(frozen=True, slots=True)
class Reply:
    """The answer to one utterance.

    Args:
        text: In words.
        intents: What the utterance was taken to want.
        recommendation: The list that the turn gave, if any.
        explanation: The explanation that it gave, if any.
        actions: What it did.
        constraints: What holds for lists from now on, in words.
        turn: The number it is kept by, which a thumb names.
    """

    text: str
    intents: tuple[str, ...]
    recommendation: Recommendation | None = None
    explanation: Explanation | None = None
    actions: tuple[Action, ...] = ()
    constraints: tuple[str, ...] = ()
    turn: int | None = None

    def to_dict(self) -> dict[str, Any]:
        """The JSON form."""
        return {
            "turn": self.turn,
            "text": self.text,
            "intents": list(self.intents),
            "recommendation": self.recommendation.to_dict() if self.recommendation else None,
            "explanation": self.explanation.to_dict() if self.explanation else None,
            "actions": [action.to_dict() for action in self.actions],
            "constraints": list(self.constraints),
        }

    @property
    def explained(self) -> dict[str, Any] | None:
        """What is kept of an explanation, so that a thumb can be learnt from; None without one."""
        if self.explanation is None:
            return None
        told, kinds = self.explanation, ("event", "part", "attribute")
        strongest = [[one for one in told.evidence if one.kind == kind][:_STRONGEST] for kind in kinds]
        return {
            "item_id": told.item.item_id,
            "title": told.item.title,
            "text": told.text,
            "by_model": told.by_model,
            "evidence": [{**one.to_dict(), "event_id": one.event_id} for found in strongest for one in found],
        }


@dataclass(frozen=True, slots=True)
class Step:
    """What a turn changed, so that it can be undone.

    Args:
        text: What it was, in words.
        constraints: Those before it.
        event_ids: The events it made.
    """

    text: str
    constraints: Constraints
    event_ids: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class State:
    """What holds in a conversation.

    Args:
        constraints: What items should be.
        shown: The items of the list the user looks at, best first.
        offered: All that were shown since the constraints changed.
        focus: The item that was talked of last.
        steps: What can be undone, the newest last.
        list_id: The recommendation that the list is.
    """

    constraints: Constraints = field(default_factory=Constraints)
    shown: tuple[str, ...] = ()
    offered: tuple[str, ...] = ()
    focus: str | None = None
    steps: tuple[Step, ...] = ()
    list_id: str | None = None

    def to_dict(self) -> dict[str, Any]:
        """The JSON form."""
        return {
            "constraints": self.constraints.to_dict(),
            "shown": list(self.shown),
            "offered": list(self.offered),
            "focus": self.focus,
            "steps": [[one.text, one.constraints.to_dict(), list(one.event_ids)] for one in self.steps],
            "list_id": self.list_id,
        }

    @classmethod
    def from_dict(cls, given: Mapping[str, Any]) -> State:
        """From the JSON form."""
        steps = [Step(text, Constraints.from_dict(before), tuple(ids)) for text, before, ids in given["steps"]]
        return cls(
            Constraints.from_dict(given["constraints"]),
            tuple(given["shown"]),
            tuple(given["offered"]),
            given["focus"],
            tuple(steps),
            given["list_id"],
        )
