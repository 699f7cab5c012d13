"""The adapter of a release: lists to learn from, training, and the files the release keeps."""

from __future__ import annotations

import hashlib
import json
import logging
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from llmrec.config import LearningSettings, Settings
from llmrec.errors import DataError, ModelError
from llmrec.fitting import Fit, FittedRetriever, TrainedRanker
from llmrec.learning.crossfit import cross_fit, newest_first
from llmrec.learning.examples import Example, examples_of, whole_example
from llmrec.learning.histories import history_examples
from llmrec.learning.lessons import Lessons, await_shared, share
from llmrec.learning.scrubbing import scrub_by
from llmrec.learning.training import AdapterOptions, AdapterTraining, odds_of, require_board, train_adapter
from llmrec.learning.transcripts import Quotas, transcripts, within
from llmrec.models import TransformersLM, resolve
from llmrec.models.adapters import CONFIG, WEIGHTS
from llmrec.models.loading import require_four_bits
from llmrec.models.lora import LoraLearner, LoraShape
from llmrec.ranking import Fusion, HeldOutRequest, Ranker
from llmrec.releases import Release

__all__ = ["assist", "begins_with", "require_extras", "train_ranker"]

Floats = NDArray[np.float64]

_logger = logging.getLogger(__name__)

_CHALLENGER = "challenger"
_START = "start"
"""Where the adapter to begin with lies for all processes."""
_FUSION = "fusion.json"
_FEWEST = 8
"""Lists without which there is nothing to train on or to validate with."""


@dataclass(frozen=True, slots=True)
class _Taught:
    """What is learnt from.

    Args:
        epoch: The examples of an epoch, counted from 0.
        count: How many lists, or histories, there are in one.
        about: What the manifest tells of where they are from.
    """

    epoch: Callable[[int], list[Example]]
    count: int
    about: Mapping[str, object]


def train_ranker(fit: Fit, fitted: FittedRetriever, snapshot: int, start: Release | None = None) -> TrainedRanker:
    """Train an adapter on cross-fitted lists, or on histories where it is asked for titles.

    Its validation is on the requests of the retriever that will be served.

    Args:
        fit: The fit that the release is of.
        fitted: The retriever that will be served.
        snapshot: The last event to learn from.
        start: A release whose adapter is gone on from; None: from the base.

    Raises:
        ModelError: The language model is switched off, or cannot be trained.
        DataError: There is too little behaviour.
    """
    if fit.ranker is None:
        raise ModelError("the language model is switched off", hint="set ranking.enabled to true")
    wanted, directory = fit.settings.learning, fit.checkpoint.with_name("adapter")
    teach = _histories if fit.ranker.ask == "title" else _lists
    taught = teach(fit, fit.ranker, fitted, snapshot)
    hits = [request for request in fitted.requests if request.taken is not None]
    # In log-odds, whatever the unit of the retriever's score.
    validation = [request.weighed(fitted.prior_weight) for request in hits[: wanted.validation_lists]]
    if min(taught.count, len(validation)) < _FEWEST:
        what = "histories" if fit.ranker.ask == "title" else "lists"
        raise DataError(
            f"{taught.count} {what} to learn from and {len(validation)} lists to validate with are too few",
            hint=f"collect more events: each needs {_FEWEST}, from users with several events",
        )
    goes_on = _lay_out(start, directory.with_name(_START))
    training = _trained(fit, fit.ranker, taught.epoch, validation, directory)
    about = {
        "taught": taught.count,
        **taught.about,
        "validation_lists": len(validation),
        **training.summary(),
    }
    if not training.best_step and not goes_on:
        _logger.warning("no adapter was better than none, so the release has none")
        return TrainedRanker(fit.ranker, {}, {"adapter": about}, wanted.validation_lists)
    adapted = fit.ranker.asking(fit.ranker.model.adapted(_CHALLENGER, directory))
    parts = {f"adapter/{name}": (directory / name).read_bytes() for name in (CONFIG, WEIGHTS)}
    return TrainedRanker(adapted, parts, {"adapter": about}, wanted.validation_lists)


def _lists(fit: Fit, ranker: Ranker, fitted: FittedRetriever, snapshot: int) -> _Taught:
    """Lists of a retriever that has not seen their answers, and lists that were shown."""
    wanted, items = fit.settings.learning, fit.catalogue.items
    lists = cross_fit(fit, fitted, snapshot, wanted.lists_per_user, wanted.most_lists)
    shown = _from_transcripts(fit, snapshot, fitted)
    if fit.settings.ranking.evidence:
        shown = [one for one in map(lists.told, shown) if one is not None]
    taught = (*_newest(lists.requests, wanted.most_lists), *shown)

    def epoch(number: int) -> list[Example]:
        generator = np.random.default_rng([fit.settings.fit.seed, number])
        make = partial(examples_of, others=wanted.others, longest=wanted.tree_tokens, generator=generator)
        return list(make(taught, ranker, items))

    return _Taught(epoch, len(taught), {"from_shown": len(shown), "asked": lists.asked})


def _histories(fit: Fit, ranker: Ranker, fitted: FittedRetriever, snapshot: int) -> _Taught:
    """What users did, as texts."""

    def epoch(number: int) -> list[Example]:
        return history_examples(fit, fitted, snapshot, ranker, number)

    first = epoch(0)
    tokens = sum(one.tree.tokens for one in first)
    return _Taught(epoch, sum(len(one.lengths) for one in first), {"title_tokens": tokens})


def require_extras(wanted: LearningSettings) -> None:
    """Say what is not installed before hours of training.

    Raises:
        MissingExtraError: Free text, 4 bits or a record for TensorBoard is wanted, and what it needs is not there.
    """
    scrub_by(wanted)
    if wanted.four_bit:
        require_four_bits()
    if wanted.tensorboard:
        require_board()


def begins_with(settings: Settings, champion: Release | None) -> Release | None:
    """The release whose adapter a training goes on from, where it is to evolve; None: the base."""
    return champion if settings.learning.start == "champion" else None


def _lay_out(start: Release | None, begin: Path) -> bool:
    """Put an adapter, and what it counts, where every process of the training finds it; whether there is one."""
    shutil.rmtree(begin, ignore_errors=True)
    adapter = start.folder("adapter") if start is not None else None
    if start is None or adapter is None:
        return False
    shutil.copytree(adapter, begin)
    (begin / _FUSION).write_bytes(start.read(_FUSION))
    return True


def _from_transcripts(fit: Fit, snapshot: int, fitted: FittedRetriever) -> list[HeldOutRequest]:
    """Lists that were shown, without choices that the validation asks about."""
    held = {(_user_of(one), _chosen(one)) for one in fitted.requests if one.taken is not None}
    longest = fit.settings.retrieval.history_events
    wanted = fit.settings.learning
    scrub = scrub_by(wanted)
    found = transcripts(
        fit.store, fit.catalogue.items, snapshot=snapshot, longest=longest, hidden=fit.hidden, scrub=scrub
    )
    quotas = Quotas(wanted.user_quota, wanted.item_quota)
    return within(quotas, [one for one in found if (_user_of(one), _chosen(one)) not in held])


def _user_of(request: HeldOutRequest) -> str:
    return request.before.user.user_id if request.before.user else ""


def _chosen(request: HeldOutRequest) -> str:
    assert request.taken is not None
    return request.candidates[request.taken].item.item_id


def _newest(requests: Sequence[HeldOutRequest], most: int) -> list[HeldOutRequest]:
    """At most so many lists: of each user the newest ones."""
    ages = newest_first([_user_of(one) for one in requests])
    kept = sorted(sorted(range(len(requests)), key=ages.__getitem__)[:most])
    return [requests[place] for place in kept]


def assist(settings: Settings, checkpoint: Path) -> None:
    """What the other processes of a retraining do: wait for the lessons of the first, and train with it.

    Args:
        settings: The workspace's.
        checkpoint: Of its encoder, beside which the lessons are shared.
    """
    if not settings.ranking.enabled:  # the first process trains no adapter, so it shares nothing
        return
    directory = checkpoint.with_name("adapter")
    learner = _learner(settings)
    try:
        lessons = await_shared(directory.with_suffix(".lessons"))
        options = _begun(learner, _options(settings), directory.with_name(_START))
        train_adapter(learner, lessons, options, checkpoint=directory.with_suffix(".safetensors"))
    finally:
        learner.close()


def _trained(
    fit: Fit,
    ranker: Ranker,
    epoch: Callable[[int], list[Example]],
    validation: list[HeldOutRequest],
    directory: Path,
) -> AdapterTraining:
    wanted, items = fit.settings.learning, fit.catalogue.items
    lessons = Lessons(
        epoch,
        [whole_example(request, ranker, items) for request in validation],
        identity=_identity(fit, ranker, directory.with_name(_START)),
    )
    share(lessons, wanted.epochs, directory.with_suffix(".lessons"))
    shutil.rmtree(directory, ignore_errors=True)
    learner = _learner(fit.settings)
    try:
        options = _begun(learner, _options(fit.settings), directory.with_name(_START))
        before = odds_of(learner, lessons.validation[0])
        training = train_adapter(
            learner,
            lessons,
            options,
            checkpoint=directory.with_suffix(".safetensors"),
            board=directory.with_name("board") if wanted.tensorboard else None,
            progress=fit.progress,
        )
        learner.save(directory)
        if training.best_step:
            _check(before, odds_of(learner, lessons.validation[0]))
    finally:
        learner.close()
    if training.trimmed:
        _logger.warning(
            "%d of the %d %s that were learnt from tell of the newest events alone: raise ranking.history_tokens "
            "to tell more",
            training.trimmed,
            training.lists,
            "histories" if ranker.ask == "title" else "lists",
        )
    return training


def _begun(learner: LoraLearner, options: AdapterOptions, start: Path) -> AdapterOptions:
    """The options, with what is there to begin with put into the learner."""
    if not start.is_dir():
        return options
    learner.begin_with(start)
    weight = Fusion.from_dict(json.loads((start / _FUSION).read_bytes())).llm_weight
    return replace(options, weight=weight)


def _identity(fit: Fit, ranker: Ranker, start: Path) -> str:
    """What a checkpoint must share to be gone on from beside lists: base, prompts, settings, what it began with."""
    begun = hashlib.sha256((start / WEIGHTS).read_bytes()).hexdigest() if start.is_dir() else "base"
    settings = fit.settings.model_dump_json(include={"models", "ranking", "learning"})
    return f"{ranker.model.sha256}/{ranker.fingerprint}/{settings}/{begun}"


def _learner(settings: Settings) -> LoraLearner:
    """The base once more, in the format that it trains in; the one that serves stays as it is."""
    models, wanted = settings.models, settings.learning
    base = TransformersLM.load(
        resolve(models.language_model, "language-model"),
        device=models.device,
        dtype=wanted.dtype,
        chat=models.chat_template,
        training=True,
        four_bit=wanted.four_bit,
    )
    last = wanted.last_layers or None
    return base.learner(LoraShape(wanted.rank, wanted.alpha, last_layers=last, seed=settings.fit.seed))


def _options(settings: Settings) -> AdapterOptions:
    wanted = settings.learning
    return AdapterOptions(
        epochs=wanted.epochs,
        learning_rate=wanted.learning_rate,
        trees=wanted.trees,
        validations=wanted.validations,
        patience=wanted.patience,
        seed=settings.fit.seed,
        pull=wanted.pull,
    )


def _check(before: Floats, after: Floats) -> None:
    """A training that taught nothing must not look like one that did.

    Raises:
        ModelError: The scores are those of the beginning.
    """
    if np.array_equal(before, after):
        raise ModelError("the training left the adapter without effect", hint="raise learning.learning_rate")
