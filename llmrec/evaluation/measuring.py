"""From systems to a report: ask all of them the same, and measure what they answer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import combinations
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from llmrec.errors import DataError
from llmrec.evaluation.description import describe_data, describe_environment
from llmrec.evaluation.impressions import ReleaseOutcome
from llmrec.evaluation.interactions import Floats, Rows
from llmrec.evaluation.metrics import CUTOFFS, beyond_accuracy, coverage, list_accuracy, recall_curve
from llmrec.evaluation.protocols import Split, training_interactions
from llmrec.evaluation.ratings import rating_metrics
from llmrec.evaluation.report import PerUser, Report, SliceReport
from llmrec.evaluation.runs import Run, run
from llmrec.evaluation.slices import Slice, slices
from llmrec.evaluation.systems import System
from llmrec.evaluation.uncertainty import Comparison, Interval, intervals, paired

__all__ = ["EvaluationOptions", "evaluate", "measure"]


@dataclass(frozen=True, slots=True, eq=False)
class EvaluationOptions:
    """What to measure, and how finely.

    Args:
        cutoffs: Where lists are cut for the metrics.
        vectors: A vector for each item row, [items, dimension], for the diversity of lists; None: not measured.
        groups: Attribute -> user id -> value, for slices by user group.
        pairs: Which systems to compare, the better one first; None: all pairs, in the order of the systems.
        liked_above: A higher rating means that the user liked the item; None: the mean training rating.
        resamples: Draws of the bootstrap and of the paired test.
        seed: Of both.
        beyond: Whether to measure coverage, novelty, diversity and popularity too.
    """

    cutoffs: Sequence[int] = CUTOFFS
    vectors: NDArray[np.floating] | None = None
    groups: Mapping[str, Mapping[str, object]] = field(default_factory=dict)
    pairs: Sequence[tuple[str, str]] | None = None
    liked_above: float | None = None
    resamples: int = 1000
    seed: int = 0
    beyond: bool = True


_DEFAULTS = EvaluationOptions()


def evaluate(
    split: Split,
    systems: Sequence[System],
    options: EvaluationOptions = _DEFAULTS,
    *,
    depth: int = 50,
    data: Mapping[str, Any] | None = None,
    notes: Sequence[str] = (),
    releases: Mapping[str, ReleaseOutcome] | None = None,
    progress: bool = False,
) -> Report:
    """Fit every system on the training events, ask all of them the same, and measure.

    Args:
        split: What is known and what is asked.
        systems: Each with a name of its own; the order is that of the report.
        options: What to measure.
        depth: Length of the lists.
        data: From `describe_data`; made here by default.
        notes: What a reader should know.
        releases: From `release_outcomes`.
        progress: Show a bar on a terminal.

    Raises:
        DataError: Two systems have one name, or a system's lists are not what was asked for.
    """
    _check_names([system.name for system in systems])
    bar = tqdm(systems, unit=" systems", leave=False, disable=None if progress else True)
    runs = []
    for system in bar:
        bar.set_description(system.name)
        runs.append(run(system, split, depth=depth))
    return measure(split, runs, options, data=data, notes=notes, releases=releases)


def measure(
    split: Split,
    runs: Sequence[Run],
    options: EvaluationOptions = _DEFAULTS,
    *,
    data: Mapping[str, Any] | None = None,
    notes: Sequence[str] = (),
    releases: Mapping[str, ReleaseOutcome] | None = None,
) -> Report:
    """The report on answers that were given before, all to the requests of this split; see `evaluate`."""
    _check_names([one.system for one in runs])
    bootstrap = _Bootstrap(options.resamples, options.seed)
    items = len(split.interactions.item_ids)
    per_user = {one.system: _per_user(one, split, options) for one in runs}
    means = bootstrap.intervals(per_user)
    pairs = list(combinations(per_user, 2)) if options.pairs is None else options.pairs
    return Report(
        data=describe_data("interactions", split.interactions) if data is None else data,
        protocol={
            **split.protocol,
            "cutoffs": list(options.cutoffs),
            "resamples": options.resamples,
            "seed": options.seed,
        },
        users=len(np.unique(split.requests.users)),
        candidates=items,
        seconds={one.system: one.seconds for one in runs},
        environment=describe_environment(),
        systems={one.system: means[one.system] | _of_all_lists(one, split, options) for one in runs},
        paired=bootstrap.paired(per_user, pairs),
        slices={
            part.name: _slice_report(part, runs, split.requests.users, items, options)
            for part in slices(split, options.groups)
        },
        curves={one.system: recall_curve(one.lists, split.targets, items).tolist() for one in runs},
        per_user=per_user,
        notes=tuple(notes),
        releases=dict(releases or {}),
    )


@dataclass(frozen=True, slots=True)
class _Bootstrap:
    """Intervals and comparisons of many metrics at once, over the same draws of users."""

    resamples: int
    seed: int

    def intervals(self, per_user: Mapping[str, PerUser]) -> dict[str, dict[str, Interval]]:
        """System -> metric -> interval."""
        places = [(system, metric) for system, found in per_user.items() for metric in found]
        values = np.stack([per_user[system][metric] for system, metric in places], axis=1)
        made: dict[str, dict[str, Interval]] = {system: {} for system in per_user}
        measured = intervals(values, resamples=self.resamples, seed=self.seed)
        for (system, metric), interval in zip(places, measured, strict=True):
            made[system][metric] = interval
        return made

    def paired(
        self, per_user: Mapping[str, PerUser], pairs: Sequence[tuple[str, str]]
    ) -> dict[str, dict[str, Comparison]]:
        """``first-second`` -> metric -> comparison."""
        for name in {name for pair in pairs for name in pair} - set(per_user):
            raise DataError(f"there is no system {name!r} to compare", hint=f"systems: {', '.join(per_user)}")
        places = [(pair, metric) for pair in pairs for metric in per_user[pair[0]]]
        if not places:
            return {}
        first, second = (np.stack([per_user[pair[side]][metric] for pair, metric in places], axis=1) for side in (0, 1))
        made: dict[str, dict[str, Comparison]] = {f"{one}-{other}": {} for one, other in pairs}
        compared = paired(first, second, resamples=self.resamples, seed=self.seed)
        for ((one, other), metric), comparison in zip(places, compared, strict=True):
            made[f"{one}-{other}"][metric] = comparison
        return made


def _per_user(one: Run, split: Split, options: EvaluationOptions) -> dict[str, Floats]:
    items, training = len(split.interactions.item_ids), training_interactions(split)
    accuracy = list_accuracy(one.lists, split.targets, items, options.cutoffs)
    if not options.beyond:
        return _by_user(accuracy, split.requests.users)
    found = accuracy | beyond_accuracy(one.lists, split.requests.histories, training, options.cutoffs, options.vectors)
    return _by_user(found, split.requests.users)


def _by_user(found: dict[str, Floats], users: Rows) -> dict[str, Floats]:
    """The mean of each user's requests, as they belong together: users are what is drawn."""
    names, whose = np.unique(users, return_inverse=True)
    if len(names) == len(users):
        return found
    return {metric: _mean_of_each(values, whose, len(names)) for metric, values in found.items()}


def _mean_of_each(values: Floats, whose: Rows, users: int) -> Floats:
    """NaN where a user has no value."""
    has = ~np.isnan(values)
    counts = np.bincount(whose[has], minlength=users)
    sums = np.bincount(whose[has], values[has], minlength=users)
    means: Floats = np.divide(sums, counts, out=np.full(users, np.nan), where=counts > 0)
    return means


def _of_all_lists(one: Run, split: Split, options: EvaluationOptions) -> dict[str, Interval]:
    """What is not a mean over users: coverage, and how well ratings are foretold."""
    items = len(split.interactions.item_ids)
    cutoffs = options.cutoffs if options.beyond else ()
    covered = {f"coverage@{k}": Interval(coverage(one.lists[:, :k], items), None, None) for k in cutoffs}
    known = training_interactions(split).sequences.values
    if one.target_scores is None or split.targets.values is None or known is None or np.isnan(known).all():
        return covered
    return covered | rating_metrics(
        one.target_scores,
        split.targets.values,
        split.targets.owners,
        liked_above=float(np.nanmean(known)) if options.liked_above is None else options.liked_above,
        resamples=options.resamples,
        seed=options.seed,
    )


def _slice_report(part: Slice, runs: Sequence[Run], users: Rows, items: int, options: EvaluationOptions) -> SliceReport:
    if not len(part.places):
        return SliceReport(0, {one.system: {} for one in runs})
    whose = users[part.places]
    per_user = {one.system: _by_user(part.accuracy(one.lists, items, options.cutoffs), whose) for one in runs}
    return SliceReport(len(np.unique(whose)), _Bootstrap(options.resamples, options.seed).intervals(per_user))


def _check_names(names: Sequence[str]) -> None:
    doubled = sorted({name for name in names if list(names).count(name) > 1})
    if doubled or not names:
        raise DataError(
            f"two systems are called {doubled[0]}" if doubled else "there is no system to evaluate",
            hint="give each system a name of its own" if doubled else "give at least one",
        )
