"""The periodic run for the wording of reasons: learn from thumbs, and let only a better adapter go live."""

from __future__ import annotations

import logging
import os
import shutil
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from llmrec.errors import DataError, ModelError, ReleaseError
from llmrec.evaluation.uncertainty import Comparison, paired
from llmrec.explaining import Answerer, Names
from llmrec.files import writing
from llmrec.learning.answer_training import AnswerOptions, require_trl, train_answers
from llmrec.learning.retraining import Retraining
from llmrec.learning.settling import settle
from llmrec.learning.thumbs import RatedAnswer, rated_answers, split
from llmrec.learning.verdict import Verdict
from llmrec.models import TransformersLM, resolve
from llmrec.models.adapters import CONFIG, WEIGHTS
from llmrec.models.lora import LoraShape
from llmrec.recommender import Recommender
from llmrec.releases import Release, ReleaseStore

__all__ = ["judge_answers", "retrain_answers"]

_logger = logging.getLogger(__name__)

_FEWEST = 4
"""Of either kind, to learn from and to judge by."""
_USERS = 10
"""So many users are held out at least: with fewer their interval says little of others."""
_WORDED = 30
"""So many held-out reasons are worded by both, to see how often each says more than the evidence."""


def retrain_answers(rec: Recommender, *, progress: bool | None = None) -> Retraining:
    """Train an adapter that words reasons, and make it live if held-out thumbs say that it is better.

    Args:
        rec: The workspace.
        progress: Show bars; None: when standard error is a terminal.

    Raises:
        BusyError: A fit, import or retrain is running.
        DataError: There are too few thumbs.
        MissingExtraError: trl is not installed.
        ModelError: The language model cannot be trained.
    """
    require_trl()
    if int(os.environ.get("WORLD_SIZE", "1")) > 1:
        raise ModelError("answers are trained in one process", hint="run it without accelerate launch")
    bars = sys.stderr.isatty() if progress is None else progress
    with rec.workspace.locked("retrain"), writing(rec.workspace.root):
        began, (taught, held) = datetime.now(UTC), _thumbs(rec)
        before = rec.answers().releases.live()
        champion, beaten = _champion(rec)
        release = _trained(rec, taught, began, champion, progress=bars)
        verdict = judge_answers(rec, rec.answers().answering(release), beaten, held)
        verdict = settle(rec.answers().releases, release, verdict, before, rec.workspace.reports)
        if not verdict.passed:
            rec.answers().let_go(release)
        return Retraining(release, verdict)


def judge_answers(rec: Recommender, challenger: Answerer, champion: Answerer, held: Sequence[RatedAnswer]) -> Verdict:
    """Compare two ways to word reasons on held-out thumbs.

    The implied reward of a text is how much likelier it became, so the difference of two rewards is that of the log
    chances. What counts is the margin between liked and disliked texts, and how often a wording says more than the
    evidence.

    Args:
        rec: The workspace.
        challenger: The new one.
        champion: The one to beat.
        held: Rated reasons that neither has learnt from.
    """
    compared = _margins(challenger, champion, held)
    users = len({one.user_id for one in held})
    told = f"margin of liked over disliked on {len(held)} thumbs of {users} held-out users "
    told += f"{compared.difference or 0.0:+.3f} nats"
    told += f" [{compared.low or 0.0:+.3f}, {compared.high or 0.0:+.3f}]"
    if (compared.low or 0.0) <= 0:
        return Verdict(passed=False, reason=f"not shown to be better: {told}", users=users, comparison=compared)
    catalogue = rec.catalogue()
    names = rec.answers().names(catalogue.items, catalogue.version)
    before, after = (_unsupported(one, held[:_WORDED], names) for one in (champion, challenger))
    told += f"; {after} of {len(held[:_WORDED])} wordings say more than the evidence, {before} did"
    passed = after <= before
    verdict = "better than the champion" if passed else "it says more that the evidence does not hold"
    return Verdict(passed=passed, reason=f"{verdict}: {told}", users=users, comparison=compared)


def _margins(challenger: Answerer, champion: Answerer, held: Sequence[RatedAnswer]) -> Comparison:
    """The difference of the margins; either kind of thumbs counts as much as the other.

    Thumbs of a user belong together, so users are what is drawn: each stands for the sum of theirs.
    """
    ups = np.array([one.up for one in held])
    weights = np.where(ups, len(held) / max(1, ups.sum()), -len(held) / max(1, (~ups).sum()))
    new, old = (
        asked.model.log_likelihoods([one.ids(asked) for one in held]) * weights for asked in (challenger, champion)
    )
    users, whose = np.unique([one.user_id for one in held], return_inverse=True)
    share = len(users) / len(held)
    first, second = (
        np.bincount(whose, values * share, len(users))[:, None].astype(np.float64) for values in (new, old)
    )
    (compared,) = paired(first, second)
    return compared


def _unsupported(answerer: Answerer, held: Sequence[RatedAnswer], names: Names) -> int:
    """How many wordings say more than the facts."""
    return sum(bool(answerer.write(one.facts, names).dropped) for one in held)


def _thumbs(rec: Recommender) -> tuple[list[RatedAnswer], list[RatedAnswer]]:
    """Those to learn from, and those to judge by."""
    wanted = rec.settings.learning
    found = rated_answers(rec.store, named=rec.settings.explain.named, quota=wanted.user_quota)
    if len(found) < wanted.answer_thumbs:
        raise DataError(
            f"{len(found)} thumbs on reasons are too few",
            hint=f"collect {wanted.answer_thumbs} with chat.thumb(reply.turn, up), or lower learning.answer_thumbs",
        )
    taught, held = split(found)
    if len({one.user_id for one in held}) < _USERS:
        raise DataError(
            f"thumbs on reasons of {len({one.user_id for one in found})} users are too few to judge by",
            hint=f"a quarter of the users is held out, and at least {_USERS} must be; collect thumbs of more users",
        )
    counts = [sum(one.up == up for one in part) for part in (taught, held) for up in (True, False)]
    if min(counts) < _FEWEST:
        raise DataError(
            f"of {len(found)} thumbs on reasons {sum(one.up for one in found)} are up: too few of one kind",
            hint=f"either kind needs {_FEWEST} to learn from and {_FEWEST} to judge by; collect more",
        )
    return taught, held


def _champion(rec: Recommender) -> tuple[Release | None, Answerer]:
    """The live release and what asks it; the base model where there is none, or it must not go on."""
    keeper = rec.answers()
    champion = keeper.releases.champion()
    if champion is None or champion.made_before(rec.store.last_forgotten()):
        return None, keeper.base
    try:
        return champion, keeper.answering(champion)
    except (ReleaseError, ModelError) as error:
        _logger.warning("%s cannot answer any more, so the base model is compared with: %s", champion.version, error)
        return None, keeper.base


def _trained(
    rec: Recommender, taught: Sequence[RatedAnswer], began: datetime, champion: Release | None, *, progress: bool
) -> Release:
    wanted, base, directory = rec.settings.learning, rec.answers().base, rec.workspace.training / "answer"
    shape = LoraShape(wanted.rank, wanted.alpha, last_layers=wanted.last_layers or None, seed=rec.settings.fit.seed)
    options = AnswerOptions(shape, wanted.answer_learning_rate, seed=rec.settings.fit.seed, progress=progress)
    rows = [(*one.ids(base), one.up) for one in taught]
    try:
        about = _train(rec, rows, options, directory)
        parts = {f"adapter/{name}": (directory / name).read_bytes() for name in (CONFIG, WEIGHTS)}
    finally:
        shutil.rmtree(directory, ignore_errors=True)
        shutil.rmtree(directory.with_name(f"{directory.name}-run"), ignore_errors=True)
    manifest = {
        "began": began.isoformat(),
        "parent": champion.version if champion else None,
        "base_model": base.model.sha256,
        "prompt": base.fingerprint,
        "data": {"thumbs": len(taught), "up": sum(one.up for one in taught), "last_turn": taught[-1].number},
        "metrics": {"answer": about},
    }
    rec.store.turns.learnt(taught[-1].number)
    return ReleaseStore(rec.workspace.releases, rec.store, "answer").create(parts, manifest)


def _train(
    rec: Recommender, rows: Sequence[tuple[list[int], list[int], bool]], options: AnswerOptions, directory: Path
) -> dict[str, object]:
    """Train over the base once more; the one that serves stays as it is."""
    models, wanted = rec.settings.models, rec.settings.learning
    source = resolve(models.language_model, "language-model")
    base = TransformersLM.load(
        source,
        device=models.device,
        dtype=wanted.dtype,
        chat=models.chat_template,
        training=True,
        four_bit=wanted.four_bit,
    )
    return train_answers(base, source, rows, options, directory)
