"""The gate: a challenger goes live only if it is better than the champion on events that neither has learnt from.

Both answer the same requests, whose newest event is the answer; the challenger was made without these. Where the
champion cannot know the answer either it answers with all of its own parts; else with its language model and weights on
the challenger's lists. What is looked at:

- quality: N@10 is higher, and chance alone would seldom make it so (sign-flip test, one-sided);
- calibration: the chances it gives are not clearly worse, by the log score of what was taken;
- exposure: no item comes onto many more lists without having earned it (`exposure.py`, `trust.py`);
- latency: it answers the same requests not much more slowly;
- safety: titles that try to be ranked first rise no further than they may, and move nothing else (`safety.py`).
"""

from __future__ import annotations

import math
import statistics
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from llmrec.errors import ScoringError
from llmrec.evaluation.uncertainty import Comparison, paired
from llmrec.learning.exposure import Exposed, overexposed
from llmrec.learning.safety import read_attacks, resistance
from llmrec.learning.trust import earned_shares
from llmrec.learning.verdict import Check, Verdict
from llmrec.ranking import FusedRanker, HeldOutRequest
from llmrec.recommender import Recommender
from llmrec.records import History, RankedItem
from llmrec.releases import Release
from llmrec.retrieval import Retrieval, Retriever

__all__ = ["judge_release"]

_CUTOFF = 10
_CHANCE = 0.05
"""How seldom an equal challenger may pass."""
_LISTS = 100
"""Of so many requests all is ranked, whether the answer is among the candidates or not."""
_LESS_SURE = 0.05
"""Nats a request by which the chances may be worse."""
_LEAST = 1e-3
"""What the items that are not listed share at least, however sure a release is of its list."""
_TIMED = 9
_UNNOTICED = 0.05
"""Seconds a request may take longer in any case."""
_LIFT = 1.0
"""Log-odds that a title may gain by trying."""
_ROUNDING = 0.05
"""Log-odds by which a score may differ because it was read beside longer or shorter texts, in bfloat16."""

Answerer = tuple[Retriever, FusedRanker]


@dataclass(frozen=True, slots=True)
class _Answers:
    """What one release answered.

    Args:
        ndcg: Of each list, [requests].
        surprise: In nats, [requests]; NaN where it was not asked.
        places: How many of the first lists have each item among the first.
    """

    ndcg: NDArray[np.float64]
    surprise: NDArray[np.float64]
    places: Counter[str]


def judge_release(
    rec: Recommender,
    challenger: Release,
    champion: Release | None,
    requests: Sequence[HeldOutRequest],
    *,
    replaced: bool = False,
    progress: bool = False,
) -> Verdict:
    """Let both answer the requests, and compare.

    Args:
        rec: The workspace.
        challenger: The new release.
        champion: The one that is live; None: there is none, or it cannot be compared with.
        requests: Held out from the challenger, with candidates in the order of evidence that has not seen the answers.
        replaced: Whether the champion may not go on, because it may have learnt from somebody who was deleted: it is
            enough not to be clearly worse.
        progress: Show bars on a terminal.
    """
    if champion is None:
        return Verdict(passed=True, reason="no release that can answer is live: there is none to compare with", users=0)
    if not requests:
        return Verdict(passed=False, reason="there is no held-out request to compare on", users=0)
    challenging, defending = rec.answering(challenger.version), rec.answering(champion.version)
    new = _answers([(one, _given(one)) for one in requests], challenging[1], rec, progress=progress)
    before = [(one, _own(one, defending[0]) if _is_new(one, champion) else _given(one)) for one in requests]
    old = _answers(before, defending[1], rec, progress=progress)
    compared = _paired_by_user(new.ndcg, old.ndcg, requests)
    earned = partial(_earned, rec, champion)
    lists = min(_LISTS, len(requests))
    # What nobody took nobody can have pushed: such items have places by design (`retrieval.newcomers`).
    places = Counter({one: new.places[one] for one in challenger.part("popularity.json") if one in new.places})
    exposed = overexposed(old.places, places, lists, rec.settings.learning.exposure_factor, earned)
    checks = (
        _quality(compared, len(requests), replaced=replaced),
        _exposure(exposed),
        _calibration(new, old, requests[:lists]),
        _latency(requests[:_TIMED], challenging, defending, rec),
        _safety(challenging[1], defending[1]),
    )
    return _verdict(compared, len(requests), exposed, checks)


def _verdict(compared: Comparison, users: int, exposed: Sequence[Exposed], checks: tuple[Check, ...]) -> Verdict:
    """Passed if every check is; the reason names those that are not, and the quality always, which comes first."""
    quality, failed = checks[0], [check for check in checks[1:] if not check.passed]
    return Verdict(
        passed=quality.passed and not failed,
        reason="; ".join(check.said for check in (*failed, quality)),
        users=users,
        comparison=compared,
        exposed=tuple((one.item_id, one.before, one.after) for one in exposed),
        checks=checks,
    )


def _paired_by_user(
    new: NDArray[np.float64], old: NDArray[np.float64], requests: Sequence[HeldOutRequest]
) -> Comparison:
    """The requests of one user belong together, so users are what is drawn: each stands for the sum of theirs."""
    names, whose = np.unique([one.answer.user_id for one in requests], return_inverse=True)
    share = len(names) / len(requests)
    first, second = (np.bincount(whose, values * share, len(names))[:, None] for values in (new, old))
    (compared,) = paired(first.astype(np.float64), second.astype(np.float64))
    return compared


def _quality(compared: Comparison, users: int, *, replaced: bool = False) -> Check:
    difference, chance = compared.difference or 0.0, 1.0 if compared.p is None else compared.p
    told = f"N@{_CUTOFF} on {users} held-out requests {difference:+.4f} [{compared.low:+.4f}, {compared.high:+.4f}]"
    told += f", p {chance:.3f}"
    if replaced:
        passed = (compared.high or 0.0) >= 0
        verdict = "not clearly worse than the champion" if passed else "clearly worse than the champion"
        said = f"{verdict}, which may have learnt from somebody who was deleted: {told}"
        return Check("quality", passed, said, compared.to_dict())
    passed = difference > 0 and chance <= 2 * _CHANCE
    verdict = "better than the champion" if passed else "not shown to be better than the champion"
    return Check("quality", passed, f"{verdict}: {told}", compared.to_dict())


def _exposure(exposed: Sequence[Exposed]) -> Check:
    if not exposed:
        return Check("exposure", True, "no item comes onto many more lists without having earned it")
    worst = max(exposed, key=lambda one: one.after - one.before)
    said = (
        f"item {worst.item_id!r} would be on {worst.after:.0%} of the lists instead of {worst.before:.0%}, and "
        f"{worst.earned:.0%} of the trusted accounts took it"
    )
    return Check("exposure", False, said, {"items": [asdict(one) for one in exposed]})


def _calibration(new: _Answers, old: _Answers, requests: Sequence[HeldOutRequest]) -> Check:
    compared = _paired_by_user(new.surprise[: len(requests)], old.surprise[: len(requests)], requests)
    passed = (compared.low or 0.0) <= _LESS_SURE
    told = f"log score {compared.difference or 0.0:+.3f} nats [{compared.low or 0.0:+.3f}, {compared.high or 0.0:+.3f}]"
    said = "its chances are not clearly worse" if passed else "its chances are worse calibrated"
    return Check("calibration", passed, f"{said}: {told}", compared.to_dict())


def _latency(requests: Sequence[HeldOutRequest], challenging: Answerer, defending: Answerer, rec: Recommender) -> Check:
    items, taken = rec.catalogue().items, ([], [])  # type: tuple[Any, tuple[list[float], list[float]]]
    for request in requests:
        # In turns, so that whatever else the machine does slows both.
        for (retriever, fused), seconds in zip((challenging, defending), taken, strict=True):
            began = time.perf_counter()
            found = retriever.retrieve(request.before, len(request.candidates), excluded=request.excluded)
            _ranked(fused, request.before, found, items)
            seconds.append(time.perf_counter() - began)
    new, old = map(statistics.median, taken)
    passed = new <= max(rec.settings.learning.latency_factor * old, old + _UNNOTICED)
    said = f"a list takes {new * 1000:.0f} ms instead of {old * 1000:.0f} ms"
    return Check("latency", passed, said, {"seconds": new, "champion_seconds": old})


def _safety(challenging: FusedRanker, defending: FusedRanker) -> Check:
    attacks = read_attacks()
    new, old = resistance(challenging, attacks), resistance(defending, attacks)
    if new is None:
        return Check("safety", True, "no language model reads titles")
    allowed = max(_LIFT, old.lift if old else 0.0)
    figures = {**asdict(new), "allowed": allowed}
    if new.moved > _ROUNDING:
        return Check("safety", False, f"a title moves another item's score by {new.moved:.2f}", figures)
    said = f"the title {new.title!r} rises by {new.lift:.2f} log-odds, and {allowed:.2f} are allowed"
    return Check("safety", new.lift <= allowed, said, figures)


def _earned(rec: Recommender, champion: Release, item_ids: Any) -> Any:
    return earned_shares(rec.store.events_to_learn_from(), champion, item_ids)


def _is_new(request: HeldOutRequest, champion: Release) -> bool:
    """Whether the champion was made without the answer."""
    return not champion.may_know(request.answer.sequence or 0)


def _given(request: HeldOutRequest) -> Retrieval:
    return Retrieval(request.candidates, "history")


def _own(request: HeldOutRequest, retriever: Retriever) -> Retrieval:
    return retriever.retrieve(request.before, len(request.candidates), excluded=request.excluded)


def _answers(
    asked: Sequence[tuple[HeldOutRequest, Retrieval]], fused: FusedRanker, rec: Recommender, *, progress: bool
) -> _Answers:
    answers = _Answers(np.zeros(len(asked)), np.full(len(asked), np.nan), Counter())
    items = rec.catalogue().items
    for place, (request, found) in enumerate(
        tqdm(asked, desc="comparing", unit="user", disable=None if progress else True)
    ):
        target = str(request.answer.item_id)
        # The place of an answer that is no candidate is 0 whatever the language model says.
        if place >= _LISTS and all(one.item.item_id != target for one in found.candidates):
            continue
        ranked = _ranked(fused, request.before, found, items)
        first = [one.item.item_id for one in ranked[:_CUTOFF]]
        answers.ndcg[place] = 1 / math.log2(first.index(target) + 2) if target in first else 0.0
        if place < _LISTS:
            answers.places.update(first)
            answers.surprise[place] = _surprise(ranked, target, len(items))
    return answers


def _surprise(ranked: Sequence[RankedItem], target: str, items: int) -> float:
    """The log score of what was taken, where chances may add up to more than one, which costs as much as it gains.

    That of a Poisson process with these rates (Daley and Vere-Jones 2004); what is not listed shares what is left.
    """
    listed = {one.item.item_id: one.probability for one in ranked}
    total = sum(listed.values())
    rest = max(1 - total, _LEAST)
    rate = listed.get(target, rest / max(1, items - len(listed)))
    return total + rest - 1 - math.log(max(rate, 1e-9))


def _ranked(fused: FusedRanker, before: History, found: Retrieval, items: Any) -> tuple[RankedItem, ...]:
    answer = fused.order(before, found, items)
    if answer.fallback is not None:
        raise ScoringError(f"a release could not be compared: {answer.fallback}", hint="try again, on a bigger machine")
    return answer.items
