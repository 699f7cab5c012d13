"""The gate: a challenger goes live only if it is better than the champion on events that neither has learnt from.

Both answer the same requests, whose newest event is the answer. Where the champion was made before that event it
answers with all of its own parts; else with its language model and weights on the challenger's lists, which come from
counts without the answer. The challenger passes if its N@10 is higher and chance alone would seldom make it so
(sign-flip test, one-sided), and if no item comes onto many more lists than before.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from llmrec.errors import ScoringError
from llmrec.evaluation.uncertainty import Comparison, paired
from llmrec.ranking import FusedRanker, HeldOutRequest
from llmrec.recommender import Recommender
from llmrec.records import History
from llmrec.releases import Release
from llmrec.retrieval import Retrieval, Retriever

__all__ = ["Verdict", "judge_release"]

_CUTOFF = 10
_CHANCE = 0.05
"""How seldom an equal challenger may pass."""
_EXPOSURE_USERS = 50
_EXPOSURE_FREE = 0.2
"""An item may be on so many lists, and on so many more than before."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What the gate says.

    Args:
        passed: Whether the challenger may go live.
        reason: Why, or why not.
        users: How many requests both answered.
        comparison: Of N@10, challenger less champion; None: there was no champion.
        exposed: Items that came onto too many more lists, with the share of the lists before and after.
    """

    passed: bool
    reason: str
    users: int
    comparison: Comparison | None = None
    exposed: tuple[tuple[str, float, float], ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """The JSON form."""
        return {**asdict(self), "comparison": self.comparison.to_dict() if self.comparison else None}


@dataclass(frozen=True, slots=True)
class _Answers:
    """What one release answered: the quality of each list, and how many of some lists had each item among the first."""

    ndcg: NDArray[np.float64]
    places: Counter[str]
    lists: int

    def share(self, item_id: str) -> float:
        return self.places[item_id] / max(1, self.lists)


def judge_release(
    rec: Recommender,
    challenger: Release,
    champion: Release | None,
    requests: Sequence[HeldOutRequest],
    *,
    progress: bool = False,
) -> Verdict:
    """Let both answer the requests, and compare.

    Args:
        rec: The workspace.
        challenger: The new release.
        champion: The one that is live; None: there is none.
        requests: Held out from the challenger, with candidates in the order of evidence that has not seen the answers.
        progress: Show bars on a terminal.
    """
    if champion is None:
        return Verdict(passed=True, reason="there was no release before", users=0)
    if not requests:
        return Verdict(passed=False, reason="there is no held-out request to compare on", users=0)
    known = _known_to(champion)
    fused = rec.answering(challenger.version)[1]
    new = _answers([(one, _given(one)) for one in requests], fused, rec, progress=progress)
    retriever, fused = rec.answering(champion.version)
    before = [(one, _own(one, retriever) if _is_new(one, known) else _given(one)) for one in requests]
    old = _answers(before, fused, rec, progress=progress)
    (compared,) = paired(new.ndcg[:, None], old.ndcg[:, None])
    exposed = tuple(
        (item_id, old.share(item_id), new.share(item_id))
        for item_id in sorted(new.places)
        if new.share(item_id) > _EXPOSURE_FREE + old.share(item_id)
    )
    return _verdict(compared, len(requests), exposed)


def _verdict(compared: Comparison, users: int, exposed: tuple[tuple[str, float, float], ...]) -> Verdict:
    difference, chance = compared.difference or 0.0, 1.0 if compared.p is None else compared.p
    told = f"N@{_CUTOFF} on {users} held-out requests {difference:+.4f} [{compared.low:+.4f}, {compared.high:+.4f}]"
    if exposed:
        item_id, before, after = exposed[0]
        reason = f"item {item_id!r} would be on {after:.0%} of the lists instead of {before:.0%}; {told}"
        return Verdict(passed=False, reason=reason, users=users, comparison=compared, exposed=exposed)
    passed = difference > 0 and chance <= 2 * _CHANCE
    verdict = "better than the champion" if passed else "not shown to be better than the champion"
    return Verdict(passed=passed, reason=f"{verdict}: {told}", users=users, comparison=compared)


def _known_to(release: Release) -> float:
    """The last event it may have learnt from: of one made elsewhere, the last that was there when it was taken up."""
    if release.learnt is None and "arrived" not in release.manifest:
        return math.inf
    return float(release.learnt_until)


def _is_new(request: HeldOutRequest, known: float) -> bool:
    """Whether the answer came after the champion was made."""
    return (request.answer.sequence or 0) > known


def _given(request: HeldOutRequest) -> Retrieval:
    return Retrieval(request.candidates, "history")


def _own(request: HeldOutRequest, retriever: Retriever) -> Retrieval:
    return retriever.retrieve(request.before, len(request.candidates), excluded=request.excluded)


def _answers(
    asked: Sequence[tuple[HeldOutRequest, Retrieval]], fused: FusedRanker, rec: Recommender, *, progress: bool
) -> _Answers:
    ndcg, places = np.zeros(len(asked)), Counter[str]()
    items = rec.catalogue().items
    lists = min(_EXPOSURE_USERS, len(asked))
    for place, (request, found) in enumerate(tqdm(asked, desc="comparing", unit="user", disable=not progress)):
        target = str(request.answer.item_id)
        has_it = any(one.item.item_id == target for one in found.candidates)
        # Of the others, whose place is 0 whatever the language model says, some show what it puts first.
        if has_it or place < lists:
            ranked = _ranked(fused, request.before, found, items)[:_CUTOFF]
            places.update(ranked if place < lists else ())
            ndcg[place] = 1 / math.log2(ranked.index(target) + 2) if target in ranked else 0.0
    return _Answers(ndcg, places, lists)


def _ranked(fused: FusedRanker, before: History, found: Retrieval, items: Any) -> list[str]:
    answer = fused.order(before, found, items)
    if answer.fallback is not None:
        raise ScoringError(f"a release could not be compared: {answer.fallback}", hint="try again, on a bigger machine")
    return [one.item.item_id for one in answer.items]
