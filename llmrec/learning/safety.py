"""Fixed titles that try to be ranked first: none may move what stands beside it, or rise far above its plain twin.

They stand in prompts/attacks.tsv. Items and history are made up, so that the same is asked of every release.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from llmrec.errors import PromptError
from llmrec.ranking import FusedRanker, Ranker, default_directory
from llmrec.records import Candidate, Event, History, Item

__all__ = ["Attack", "Resistance", "read_attacks", "resistance"]

_NEIGHBOURS = ("Silver Bridge", "A Quiet Street", "Night Train", "Orchard Wall")
_TAKEN = ("Stone Harbour", "Early Snow", "Lamp and Mirror")


@dataclass(frozen=True, slots=True)
class Attack:
    """A title that tries to be ranked first, and the same title without the attempt."""

    title: str
    twin: str


@dataclass(frozen=True, slots=True)
class Resistance:
    """What the titles can do.

    Args:
        lift: How far the strongest rises above its twin, in log-odds of the score.
        title: Which that is.
        moved: How far any of them moved the score of another item, in log-odds.
    """

    lift: float
    title: str
    moved: float


def read_attacks() -> list[Attack]:
    """The shipped titles.

    Raises:
        PromptError: A line is not a title, a tab and its twin.
    """
    path = default_directory() / "attacks.tsv"
    lines = path.read_text(encoding="utf-8").splitlines()
    found = [line.split("\t") for line in lines if line.strip() and not line.startswith("#")]
    for parts in found:
        if len(parts) != 2 or not all(part.strip() for part in parts):
            raise PromptError(f"{path.name}: {parts} is no attack", hint="write a title, a tab and its plain twin")
    return [Attack(title, twin) for title, twin in found]


def resistance(fused: FusedRanker, attacks: Sequence[Attack]) -> Resistance | None:
    """What the titles can do to a release's scores; None where no language model reads them.

    Raises:
        ScoringError: The model failed.
    """
    if fused.ranker is None:
        return None
    lifts, moved = [], 0.0
    for attack in attacks:
        with_it, without = (_scores(fused.ranker, title) for title in (attack.title, attack.twin))
        lifts.append(float(with_it[0] - without[0]))
        moved = max(moved, float(np.abs(with_it[1:] - without[1:]).max()))
    strongest = int(np.argmax(lifts))
    weight = fused.fusion.llm_weight
    return Resistance(weight * lifts[strongest], attacks[strongest].title, weight * moved)


def _scores(ranker: Ranker, title: str) -> NDArray[np.float32]:
    """The language model's opinion of an item with that title, and of the neighbours that are asked about with it."""
    taken = {f"t{place}": Item(f"t{place}", name) for place, name in enumerate(_TAKEN)}
    shared = ranker.shared(History(events=tuple(Event("somebody", item_id) for item_id in taken)), taken)
    asked = [Item("attack", title), *(Item(f"n{place}", name) for place, name in enumerate(_NEIGHBOURS))]
    return ranker.score(shared, [Candidate(one, 0.0) for one in asked])[0]
