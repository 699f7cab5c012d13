"""The whole of a release under test: a workspace of its own for the training part of a split, asked about the rest."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from importlib.resources import files
from pathlib import Path

import numpy as np
from pydantic import SecretStr

import llmrec
from llmrec.config import Settings, StoreSettings
from llmrec.errors import ConfigError, DataError, ReleaseError
from llmrec.evaluation import EvaluationData, Report
from llmrec.evaluation.description import describe_data
from llmrec.evaluation.lineup import baselines
from llmrec.evaluation.measuring import EvaluationOptions, evaluate
from llmrec.evaluation.protocols import Split, leave_last_out, leave_one_out, training_interactions
from llmrec.evaluation.reliability import Reliability, reliability
from llmrec.evaluation.reranking import (
    JudgedLists,
    ListOrder,
    Order,
    digest_of,
    events_of,
    histories_of,
    judge_lists,
)
from llmrec.learning import retrain
from llmrec.ranking.prompts import default_directory
from llmrec.retrieval import FittedEncoder

__all__ = ["FullStage", "full_report", "held_out_workspace", "make_measured_release", "sampled"]

_ORDERS: tuple[Order, ...] = ("retriever", "control", "llm", "fused")
_PAIRS = [("fused", "control"), ("fused", "retriever"), ("fused", "llm"), ("control", "retriever")]
_CUTOFFS = (5, 10, 20)
_SWITCH = "set ranking.enabled to true in ./llmrec.toml, or unset LLMREC_RANKING__ENABLED"
_CODE = [
    file.read_text(encoding="utf-8")
    for pattern in (
        "fitting.py",
        *(f"{room}/*.py" for room in ("learning", "models", "ranking", "records", "retrieval")),
    )
    for file in sorted(Path(str(files("llmrec"))).glob(pattern))
] + [(default_directory() / f"{name}.jinja").read_text(encoding="utf-8") for name in ("rank", "title")]
"""What makes a release and its answers: one of other code is not measured as this code's."""


@dataclass(frozen=True, slots=True)
class FullStage:
    """What is asked of whom.

    Args:
        settings: How to fit, and how the model is asked.
        kept: Directory of workspaces and answers, so that a second call is quick.
        release: Directory of a release that is measured; None: one is made of the training part.
        encoder: Taken as it is where a release is made; it was trained on the same training part. None: one is trained.
        users: How many users are asked, a fixed sample; None: all.
        skipped: So many of the sample's order come first and are not asked, so that others can confirm a figure.
        targets: How many of each user's last items are foretold; 1: leave-one-out.
        hits_only: Ask the language model only about lists that hold the answer: the figures of accuracy are the same,
            and nothing is told of the probabilities, nor of what lists are made of (coverage, novelty, diversity).
        progress: Show bars on a terminal.
    """

    settings: Settings
    kept: Path
    release: Path | None = None
    encoder: FittedEncoder | None = None
    users: int | None = None
    skipped: int = 0
    targets: int = 1
    hits_only: bool = False
    progress: bool = True


def full_report(data: EvaluationData, stage: FullStage) -> Report:
    """Retriever, control, language model and fusion on the same lists, beside the baselines.

    Raises:
        DataError: Nothing is known of the items but their ids.
        ConfigError: The language model is switched off.
        ReleaseError: There is no such release, or it is of other items.
    """
    if not stage.settings.ranking.enabled:
        raise ConfigError("--stage full asks the language model, which is switched off", hint=_SWITCH)
    if data.texts is None:
        raise DataError("a language model needs items with titles", hint="name --items")
    data = data.by_id()
    split = sampled(_split(data, stage.targets), stage.users, stage.skipped)
    with ExitStack() as stack:
        rec = stack.enter_context(held_out_workspace(data, split, stage))
        if rec.releases.champion() is None:
            make_measured_release(rec, stage)
        lists, version = _judged(rec, data, split, stage)
        index = rec.catalogue().index
        vectors = index.vectors_of(data.interactions.item_ids)
    cheap, missing = baselines(vectors)
    asked = [ListOrder(order, lists.rows, lists.scores(order)) for order in _ORDERS]
    weights = f"fused = {lists.fusion.retrieval_weight:.3f} control + {lists.fusion.llm_weight:.3f} llm"
    names = [system.name for system in cheap]
    about = {"release": version, "candidates": lists.rows.shape[1]}
    if stage.hits_only:
        about["asked"] = "lists that hold the answer"
    report = evaluate(
        replace(split, protocol={**split.protocol, **about}),
        [*cheap, *asked],
        EvaluationOptions(
            _CUTOFFS,
            vectors,
            data.groups,
            pairs=[*_PAIRS, *(("fused", name) for name in names)],
            beyond=not stage.hits_only,
        ),
        data=describe_data(data.name, data.interactions, data.files),
        notes=[*data.notes, *missing, f"{weights}, weighed on {lists.fusion.lists} held-out lists."],
        progress=stage.progress,
    )
    return report if stage.hits_only else replace(report, reliability=_reliability(lists, split))


def _reliability(lists: JudgedLists, split: Split) -> dict[str, Reliability]:
    """Of the first ten places, with the language model and without."""
    chances, taken = {}, {}
    for order in ("control", "fused"):
        given = lists.probabilities(order, 10)
        listed = np.isfinite(given)
        found = lists.ordered(order)[:, :10] == split.targets.rows[:, None]
        chances[order], taken[order] = given[listed], found[listed]
    return reliability(chances, taken)


def _split(data: EvaluationData, targets: int) -> Split:
    return leave_one_out(data.interactions) if targets == 1 else leave_last_out(data.interactions, targets)


def sampled(split: Split, users: int | None, skipped: int = 0) -> Split:
    """The requests of a fixed sample of users, the same for every system and every call.

    Args:
        split: Requests of all users.
        users: How many; None: all that are left.
        skipped: Of how many others the sample does not have any.

    Raises:
        DataError: Nobody is left.
    """
    names = np.unique(split.requests.users)
    if skipped >= len(names):
        raise DataError(f"of {len(names)} users {skipped} cannot be skipped", hint="lower --skip-users")
    if not skipped and (users is None or users >= len(names)):
        return split
    order = np.random.default_rng(0).permutation(len(names))
    drawn = names[order[skipped : None if users is None else skipped + users]]
    some = np.flatnonzero(np.isin(split.requests.users, drawn))
    return replace(split, requests=split.requests.take(some), targets=split.targets.take(some))


def held_out_workspace(data: EvaluationData, split: Split, stage: FullStage) -> llmrec.Recommender:
    """A workspace that knows the training part alone, in a database of its own whatever the settings say of it.

    Raises:
        ReleaseError: The stage's release is not there.
    """
    if stage.release is not None and not (stage.release / "manifest.json").is_file():
        raise ReleaseError(f"{stage.release} holds no release", hint="name a directory such as adapters/ml-100k")
    training = training_interactions(split)
    own = stage.settings.model_copy(update={"store": StoreSettings(url=SecretStr(""))})
    settings = own.model_dump(mode="json", exclude={"store"})
    manifest = "" if stage.release is None else (stage.release / "manifest.json").read_text(encoding="utf-8")
    about = [repr(list(data.items)), repr(list(data.users)), _weights_of(stage.encoder)]
    root = stage.kept / f"workspace-{digest_of(training.sha256, settings, about, manifest, _CODE)}"
    filled = root / "filled"
    if filled.exists():
        return llmrec.Recommender.open(root, own)
    exists = (root / "llmrec.toml").exists()
    make = llmrec.Recommender.open if exists else llmrec.Recommender.create
    rec = make(root, own)
    rec.add_users(data.users)
    known = set(data.interactions.item_ids)
    rec.add_items(item for item in data.items if item.item_id in known)
    if not any(rec.store.events_by_user()):
        rec.add_events(events_of(training))
    filled.touch()
    return rec


def _weights_of(encoder: FittedEncoder | None) -> str:
    """What tells one encoder from another."""
    weights = encoder.to_parts()["encoder.safetensors"] if encoder else b""
    assert isinstance(weights, bytes)
    return hashlib.sha256(weights).hexdigest()


def make_measured_release(rec: llmrec.Recommender, stage: FullStage) -> None:
    """Take up the stage's release, or make one, and let it answer."""
    if stage.release is not None:
        rec.install(stage.release)
        return
    # Measured whether it passes or not: that is what the report is for.
    run = retrain(rec, encoder=stage.encoder, progress=stage.progress)
    assert run is not None, "an evaluation runs in one process"
    rec.releases.promote(run.release.version)


def _judged(rec: llmrec.Recommender, data: EvaluationData, split: Split, stage: FullStage) -> tuple[JudgedLists, str]:
    retriever, fused = rec.answering()
    champion = rec.releases.champion()
    assert champion is not None
    users = {user.user_id: user for user in data.users}
    longest = rec.settings.retrieval.history_events
    histories: Sequence[llmrec.History] = list(histories_of(split.requests, split.interactions, users, longest=longest))
    name = digest_of(champion.manifest["files"], split.requests.users.tolist(), len(histories))
    if stage.hits_only:
        name += "-hits"
    lists = judge_lists(
        retriever,
        fused.ranker,
        fused.fusion,
        histories,
        data.interactions.item_ids,
        candidates=rec.settings.retrieval.candidates,
        answers=split.targets.rows if stage.hits_only else None,
        kept=rec.workspace.root / f"said-{name}.npy",
        progress=stage.progress,
    )
    return lists, champion.version
