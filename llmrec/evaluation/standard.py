"""The standard evaluation: any data, one split, the systems that every report has, one report."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from llmrec.errors import ConfigError, DataError
from llmrec.evaluation.datasets import EvaluationData
from llmrec.evaluation.description import describe_data
from llmrec.evaluation.impressions import ReleaseOutcome
from llmrec.evaluation.interactions import Interactions
from llmrec.evaluation.lineup import RETRIEVER, Lineup, baselines, retrievers
from llmrec.evaluation.measuring import EvaluationOptions, evaluate
from llmrec.evaluation.protocols import Split, hold_out_items, leave_one_out, temporal_split, training_interactions
from llmrec.evaluation.report import Report
from llmrec.models import choose_device

__all__ = ["Protocol", "ProtocolName", "standard_report"]

ProtocolName = Literal["leave-one-out", "temporal"]

_CUTOFFS = (5, 10, 20, 50)
_STRONGEST_BASELINE = "ease"


@dataclass(frozen=True, slots=True)
class Protocol:
    """What is to be foretold.

    Args:
        name: leave-one-out: each user's last item; temporal: everything from one moment on.
        split_at: Of a temporal split, the share of the events before the moment, or the moment itself, aware.
        cold_items: Share of the items that nobody has met before the test, chosen at random; leave-one-out only.
        cold_seed: Of that choice: a tenth of few items holds few targets, and one choice says little.

    Raises:
        ConfigError: An option belongs to the other protocol, a share is not between 0 and 1, or nothing is chosen.
    """

    name: ProtocolName = "leave-one-out"
    split_at: float | datetime | None = None
    cold_items: float | None = None
    cold_seed: int = 0

    def __post_init__(self) -> None:
        if self.name == "leave-one-out" and self.split_at is not None:
            raise ConfigError("leave-one-out splits at no moment", hint="add --protocol temporal, or drop --split-at")
        if self.name == "temporal" and self.cold_items is not None:
            raise ConfigError(
                "items are held out with leave-one-out only", hint="drop --protocol temporal, or drop --cold-items"
            )
        if self.cold_seed and self.cold_items is None:
            raise ConfigError("no items are held out", hint="add --cold-items 0.1, or drop --cold-seed")
        if self.cold_seed < 0:
            raise ConfigError(f"the seed {self.cold_seed} is negative", hint="give 0 or more")
        for share in (self.split_at, self.cold_items):
            if isinstance(share, float) and not 0 < share < 1:
                raise ConfigError(f"the share {share} is not between 0 and 1", hint="write a tenth as 0.1")


def standard_report(
    data: EvaluationData,
    embed: Callable[[EvaluationData], NDArray[np.float32]],
    lineup: Lineup,
    protocol: Protocol,
    *,
    releases: Mapping[str, ReleaseOutcome] | None = None,
) -> Report:
    """Split the data, fit every system on what is known, and compare the retriever with each of the others.

    Users and items are taken in the order of their ids: in which order they come changes no result.

    Args:
        data: On what.
        embed: Gives the text vector of each item row; called where items have texts, and only once the data is split.
        lineup: Which systems.
        protocol: What is to be foretold.
        releases: What users did with what was really shown.

    Raises:
        DataError: There is too little to foretell, or a split in time meets events without a time.
    """
    data = data.by_id()
    split = _split(data, protocol)
    vectors = None if data.texts is None else embed(data)
    cheap, missing = baselines(vectors)
    trained, remarks = retrievers(data.interactions, training_interactions(split), vectors, lineup)
    systems = [*cheap, *trained]
    return evaluate(
        replace(split, protocol={**split.protocol, **_conditions(lineup)}),
        systems,
        EvaluationOptions(_CUTOFFS, vectors, data.groups, pairs=_pairs([system.name for system in systems])),
        data=describe_data(data.name, data.interactions, data.files),
        notes=[*data.notes, *_notes(protocol), *missing, *remarks],
        releases=releases,
        progress=lineup.progress,
    )


def _split(data: EvaluationData, protocol: Protocol) -> Split:
    if protocol.name == "temporal":
        at = 0.8 if protocol.split_at is None else protocol.split_at
        interactions = data.interactions
        return temporal_split(interactions, time=at) if isinstance(at, datetime) else _split_at_share(interactions, at)
    if protocol.cold_items is None:
        return leave_one_out(data.interactions)
    if data.texts is None:
        raise DataError(
            "without texts nothing is known of an item that nobody has met", hint="name --items, or drop --cold-items"
        )
    fewer, held = hold_out_items(data.interactions, protocol.cold_items, seed=protocol.cold_seed)
    split = leave_one_out(fewer)
    chosen = {"held_out_items": len(held), "held_out_seed": protocol.cold_seed}
    return replace(split, protocol={**split.protocol, **chosen})


def _split_at_share(interactions: Interactions, share: float) -> Split:
    split = temporal_split(interactions, fraction=share)
    return replace(split, protocol={**split.protocol, "share_before": share})


def _conditions(lineup: Lineup) -> dict[str, object]:
    if lineup.baselines_only:
        return {}
    if lineup.shipped is not None:
        return {"newcomers": lineup.settings.retrieval.newcomers}
    return {
        "newcomers": lineup.settings.retrieval.newcomers,
        "encoder": lineup.settings.encoder.model_dump(mode="json"),
        "seeds": list(lineup.seeds),
        "device": str(choose_device(lineup.settings.models.device)),
    }


def _notes(protocol: Protocol) -> list[str]:
    if protocol.cold_items is None:
        return []
    mixed = "Figures on all requests mix those for an item that was held out (slice cold_items) with all others "
    return [mixed + "(slice warm_items)."]


def _pairs(names: list[str]) -> list[tuple[str, str]]:
    """The retriever against everything else; where there is none, the strongest baseline."""
    first = RETRIEVER if RETRIEVER in names else _STRONGEST_BASELINE
    return [(first, name) for name in names if not name.startswith(first)]
