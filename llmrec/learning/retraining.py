"""The periodic run: refit the retriever, train the language model's adapter, and let only a better release go live."""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace
from typing import Any

from llmrec.errors import ConfigError, ModelError, ReleaseError
from llmrec.fitting import Fit, FittedRetriever, TrainedRanker
from llmrec.learning.due import require_news
from llmrec.learning.gate import judge_release
from llmrec.learning.held_out import held_out_histories
from llmrec.learning.lessons import is_alone, is_helper
from llmrec.learning.ranker import assist, begins_with, require_extras, train_ranker
from llmrec.learning.settling import settle
from llmrec.learning.trust import crowded_out
from llmrec.learning.verdict import Verdict
from llmrec.ranking import judge
from llmrec.recommender import Recommender
from llmrec.records import History
from llmrec.releases import Release
from llmrec.retrieval import FittedEncoder

__all__ = ["Retraining", "retrain"]

_logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Retraining:
    """What a run came to.

    Args:
        release: What it made.
        verdict: What the gate says of it.
    """

    release: Release
    verdict: Verdict

    @property
    def promoted(self) -> bool:
        """Whether it is live now."""
        return self.verdict.passed

    @property
    def reason(self) -> str:
        """Why, or why not."""
        return self.verdict.reason

    def to_dict(self) -> dict[str, Any]:
        """The JSON form."""
        return {
            "release": self.release.version,
            "promoted": self.promoted,
            "reason": self.reason,
            "gate": self.verdict.to_dict(),
            "metrics": dict(self.release.manifest["metrics"]),
        }


def retrain(
    rec: Recommender, *, anew: bool = False, encoder: FittedEncoder | None = None, progress: bool | None = None
) -> Retraining | None:
    """Train an adapter on what users did, and make a release with it, which goes live if it is better.

    Where the language model is switched off the release is a retriever that was fitted again.

    An interrupted run leaves the live release as it is, and the next one goes on from its checkpoints. Under
    `accelerate launch` several processes train together.

    Args:
        rec: The workspace.
        anew: Train the encoder from nothing, not from the live release's.
        encoder: Taken as it is instead of training one, as `Fit.encoder` says; only where no release is live yet.
        progress: Show bars; None: when standard error is a terminal.

    Returns:
        What came of it; None in every process but the first.

    Raises:
        BusyError: A fit, import or retrain is running.
        DataError: There is too little behaviour; or (`NothingNewError`) it was learnt from before.
        ConfigError: An encoder is given, and a release is live.
        ModelError: The language model cannot be trained.
        MissingExtraError: Something that `[learning]` asks for is not installed.
    """
    if is_helper():
        assist(rec.settings, rec.workspace.training / "encoder.safetensors")
        return None
    if rec.settings.ranking.enabled:
        require_extras(rec.settings.learning)
    live, champion = rec.releases.live(), _champion(rec)
    marked = champion is not None and champion.made_before(rec.store.last_forgotten())
    if champion is not None and encoder is not None:
        raise ConfigError("a given encoder may know the held-out answers", hint="drop encoder; retrain trains one")
    # Of several processes none may stop while others wait for it.
    if champion is not None and not marked and not anew and is_alone():
        require_news(rec)
    gate: list[History] = []
    verdicts: list[Verdict] = []

    def withhold(fit: Fit, snapshot: int) -> frozenset[int]:
        if champion is None:
            return frozenset()
        crowd = _crowd(fit, snapshot, champion)
        gate[:] = held_out_histories(replace(fit, hidden=crowd), snapshot, champion, fit.settings.learning.gate_users)
        return crowd | {history.events[-1].sequence or 0 for history in gate}

    def train(fit: Fit, fitted: FittedRetriever, snapshot: int) -> TrainedRanker:
        if fit.ranker is None:  # the retriever alone is fitted again, and has to pass too
            return TrainedRanker(None)
        # It has learnt what validation asks about where the encoder has.
        leaks = fitted.trained is not None and fitted.trained.began_anew
        return train_ranker(fit, fitted, snapshot, begins_with(fit.settings, None if marked or leaks else champion))

    def judged(release: Release) -> None:
        wanted = rec.settings.retrieval
        retriever = rec.answering(release.version)[0] if gate else None
        asked = judge(gate, retriever, wanted.candidates, filter_seen=wanted.filter_seen) if retriever else []
        verdict = judge_release(rec, release, champion, asked, replaced=marked, progress=bool(progress))
        verdicts.append(settle(rec.releases, release, verdict, live, rec.workspace.reports))

    release = rec.make_release(
        "retrain", judged, train, withhold=withhold, encoder=encoder, anew=anew, progress=progress
    )
    return Retraining(release, verdicts[0])


def _crowd(fit: Fit, snapshot: int, champion: Release) -> frozenset[int]:
    """What is beyond the quota of accounts that were made since the champion."""
    known = (event for event in fit.store.events_to_learn_from() if (event.sequence or 0) <= snapshot)
    quota = fit.settings.learning.newcomer_quota
    return crowded_out(known, champion, quota) if quota else frozenset()


def _champion(rec: Recommender) -> Release | None:
    """The release to beat, found out before hours of training; None where it cannot go on answering."""
    try:
        champion = rec.releases.champion()
        if champion is not None:
            rec.answering(champion.version)
    except (ReleaseError, ModelError) as error:
        _logger.warning("the live release cannot answer any more, so it is not compared with: %s", error)
        return None
    return champion
