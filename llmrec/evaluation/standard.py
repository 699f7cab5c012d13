"""The standard evaluation: any data, one split, the systems that every report has, one report."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from llmrec.errors import ConfigError
from llmrec.evaluation.datasets import EvaluationData
from llmrec.evaluation.description import describe_data
from llmrec.evaluation.impressions import ReleaseOutcome
from llmrec.evaluation.interactions import Interactions
from llmrec.evaluation.lineup import RETRIEVER, Lineup, baselines, retrievers
from llmrec.evaluation.measuring import EvaluationOptions, evaluate
from llmrec.evaluation.protocols import Split, hold_out_items, leave_one_out, temporal_split, training_interactions
from llmrec.evaluation.report import Report

__all__ = ["Protocol", "ProtocolName", "split_interactions", "standard_report"]

ProtocolName = Literal["leave-one-out", "temporal"]

_CUTOFFS = (5, 10, 20, 50)
_STRONGEST_BASELINE = "ease"


@dataclass(frozen=True, slots=True)
class Protocol:
    """What is to be foretold.

    Args:
        name: leave-one-out: each user's last item; temporal: everything from one moment on.
        split_at: Of a temporal split, the share of the events before the moment, or the moment itself, aware.
        cold_items: Share of the items that nobody has met before the test, chosen by `seed`; leave-one-out only.
        seed: Of that choice.

    Raises:
        ConfigError: An option belongs to the other protocol.
    """

    name: ProtocolName = "leave-one-out"
    split_at: float | datetime | None = None
    cold_items: float | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        if self.name == "leave-one-out" and self.split_at is not None:
            raise ConfigError("leave-one-out splits at no moment", hint="add --protocol temporal, or drop --split-at")
        if self.name == "temporal" and self.cold_items is not None:
            raise ConfigError(
                "items are held out with leave-one-out only", hint="drop --protocol temporal, or drop --cold-items"
            )


def standard_report(
    data: EvaluationData,
    vectors: NDArray[np.float32] | None,
    lineup: Lineup,
    protocol: Protocol,
    *,
    releases: Mapping[str, ReleaseOutcome] | None = None,
) -> Report:
    """Split the data, fit every system on what is known, and compare the retriever with each of the others.

    Users are taken in the order of their ids: how the data is ordered changes no result.

    Args:
        data: On what.
        vectors: The text vector of each item row; None where the items have no texts.
        lineup: Which systems.
        protocol: What is to be foretold.
        releases: What users did with what was really shown.

    Raises:
        DataError: There is too little to foretell, or a split in time meets events without a time.
    """
    interactions = data.interactions.by_user_id()
    split = split_interactions(interactions, protocol)
    cheap, missing = baselines(vectors)
    trained, remarks = retrievers(training_interactions(split), vectors, lineup)
    systems = [*cheap, *trained]
    return evaluate(
        replace(split, protocol={**split.protocol, **_conditions(lineup)}),
        systems,
        EvaluationOptions(_CUTOFFS, vectors, data.groups, pairs=_pairs([system.name for system in systems])),
        data=describe_data(data.name, interactions, data.files),
        notes=[*data.notes, *missing, *remarks],
        releases=releases,
        progress=lineup.progress,
    )


def split_interactions(interactions: Interactions, protocol: Protocol) -> Split:
    """The test of a protocol.

    Raises:
        DataError: There is too little to foretell, or a split in time meets events without a time.
    """
    if protocol.name == "temporal":
        at = 0.8 if protocol.split_at is None else protocol.split_at
        return temporal_split(interactions, time=at) if isinstance(at, datetime) else _split_at_share(interactions, at)
    if protocol.cold_items is None:
        return leave_one_out(interactions)
    fewer, held = hold_out_items(interactions, protocol.cold_items, seed=protocol.seed)
    split = leave_one_out(fewer)
    return replace(split, protocol={**split.protocol, "held_out_items": len(held), "held_out_seed": protocol.seed})


def _split_at_share(interactions: Interactions, share: float) -> Split:
    split = temporal_split(interactions, fraction=share)
    return replace(split, protocol={**split.protocol, "share_before": share})


def _conditions(lineup: Lineup) -> dict[str, object]:
    encoder = lineup.settings.encoder.model_dump(mode="json")
    return {} if lineup.baselines_only else {"encoder": encoder, "seeds": list(lineup.seeds)}


def _pairs(names: list[str]) -> list[tuple[str, str]]:
    """The retriever against everything else; where there is none, the strongest baseline."""
    first = RETRIEVER if RETRIEVER in names else _STRONGEST_BASELINE
    return [(first, name) for name in names if not name.startswith(first)]
