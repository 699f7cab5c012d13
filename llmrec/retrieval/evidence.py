"""What training behaviour and texts say of an item beside a history, without any network.

How often the item comes soon after those of the history, how popular it is, and how near its text is to theirs: a
linear layer over these and the encoder's score orders candidates better than the encoder alone (MovieLens-100K: N@10
.126 against .112, LOG.md).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load as load_arrays
from safetensors.numpy import save as save_arrays
from scipy.optimize import minimize
from scipy.sparse import csr_matrix
from scipy.special import log_softmax, logsumexp, softmax

from llmrec.errors import ReleaseError

__all__ = ["FEATURES", "NEAR_FEATURES", "TEXT_HALF_LIFE", "Evidence", "fit_weights", "level_shift", "typical_features"]

Floats = NDArray[np.float64]
Rows = NDArray[np.int64]

FEATURES = ("follows_newest", "follows_recent", "popularity", "text")
NEAR_FEATURES = ("near_newest", "near_newest_known", "untaken")
"""Where texts propose too: how near an item's text is to the newest one's, that by how well the item is known, and
whether nobody took it. Without the last two, being near would speak for everything that few took, or against it."""

_STEPS_AFTER = (1.0, 0.5, 0.25, 0.125)
"""What it counts that an item comes one, two, three, four events after another."""
_HALF_LIVES = (1.0, 4.0)
TEXT_HALF_LIFE = 3.0
_SMOOTHING = 20.0
"""Events after an item that are granted to none: of a few nothing follows with certainty."""
_FLOOR = 1e-4
_WELL_KNOWN = 1.6
"""Log of events, plus one, from which on an item counts as known: four."""
_KEPT = 1_000
_LEAST = 0.05
"""The encoder's score never counts less, so that what it does not propose does not come first."""
_BEST = 10
"""Places of a list that are looked at."""
_MORE_THAN_CHANCE = 2.0
"""An item is told to follow another one that makes it so many times as likely as it is by itself."""


@dataclass(frozen=True, eq=False)
class Evidence:
    """Counts of training behaviour, and what they weigh.

    Args:
        item_ids: The items, by row.
        preceded: What share of all that comes soon after an item (column) is this one (row), sparse [items, items].
        counts: Events on each item, float64 [items].
        weights: Of the encoder's score and of each feature, float64 [1 + features]; the encoder's score alone by
            default.
        shift: Added to every score, so that scores stay log chances on the whole.
        typical: What an item that came later has as its first three features; see `typical_features`.
        text_share: How much of the candidates texts propose. With any, `NEAR_FEATURES` are features too.
    """

    item_ids: tuple[str, ...]
    preceded: csr_matrix
    counts: Floats
    weights: Floats = field(default_factory=lambda: np.zeros(0))
    shift: float = 0.0
    typical: Floats = field(default_factory=lambda: np.array([np.log(_FLOOR), np.log(_FLOOR), 0.0]))
    text_share: float = 0.0
    rows: Mapping[str, int] = field(init=False, repr=False)
    _ranked_counts: Floats = field(init=False, repr=False)

    def __post_init__(self) -> None:
        """Know the items by their ids, and how many are taken more seldom than each."""
        object.__setattr__(self, "rows", {item_id: row for row, item_id in enumerate(self.item_ids)})
        object.__setattr__(self, "_ranked_counts", np.sort(self.counts))
        if not len(self.weights):
            object.__setattr__(self, "weights", np.array([1.0, *np.zeros(len(self.names))]))

    @property
    def names(self) -> tuple[str, ...]:
        """Of the features, in their order."""
        return (*FEATURES, *NEAR_FEATURES) if self.text_share else FEATURES

    @classmethod
    def of(cls, item_ids: Sequence[str], sequences: Iterable[NDArray[np.integer]], text_share: float = 0.0) -> Evidence:
        """Count.

        Args:
            item_ids: The items, by row.
            sequences: What each user took, oldest first, as rows.
            text_share: How much of the candidates texts propose.
        """
        parts = [np.asarray(sequence, dtype=np.int64) for sequence in sequences]
        items, total = len(item_ids), csr_matrix((len(item_ids), len(item_ids)))
        for step, weight in enumerate(_STEPS_AFTER, 1):
            earlier = np.concatenate([part[:-step] for part in parts] or [np.zeros(0, np.int64)])
            later = np.concatenate([part[step:] for part in parts] or [np.zeros(0, np.int64)])
            total = total + csr_matrix((np.full(len(later), weight), (later, earlier)), shape=(items, items))
        shares = 1 / (np.asarray(total.sum(axis=0)).reshape(-1) + _SMOOTHING)
        rows = np.concatenate(parts or [np.zeros(0, np.int64)])
        counts = np.bincount(rows, minlength=items).astype(np.float64)
        strongest = _strongest(csr_matrix(total.multiply(shares[None, :])))
        return cls(tuple(item_ids), strongest, counts, text_share=text_share)

    def weighed(self, lists: Floats, targets: Rows, listed: NDArray[np.bool_]) -> Evidence:
        """The same counts with weights fitted on lists: the features of their items, the encoder's score first.

        Args:
            lists: [n, items, 1 + features].
            targets: The place of each list's target, [n].
            listed: Which places hold an item, [n, items].
        """
        weights = fit_weights(lists, targets, listed)
        typical = typical_features(lists, weights, listed) if listed.any() else self.typical
        return replace(self, weights=weights, shift=level_shift(lists, weights, listed), typical=typical)

    def recounted(self, sequences: Iterable[NDArray[np.integer]]) -> Evidence:
        """Other counts with the same weights."""
        counted = Evidence.of(self.item_ids, sequences, self.text_share)
        return replace(counted, weights=self.weights, shift=self.shift, typical=self.typical)

    def features(self, history: Rows, listed: Rows, cosines: Floats, near: Floats | None = None) -> Floats:
        """What speaks for items, float64 [items listed, features].

        Args:
            history: What the user took, as rows, oldest first; -1: an item that was not there when it was counted.
            listed: The items, as rows; -1: an item that was not there when behaviour was counted.
            cosines: Between each one's text and the history's, [items listed].
            near: Between each one's text and that of the newest item of the history, [items listed]; where texts
                propose nothing it is not looked at.
        """
        ages = np.arange(len(history))[::-1]
        decayed = np.zeros((len(self.item_ids), len(_HALF_LIVES)))
        for column, half_life in enumerate(_HALF_LIVES):
            weights = np.power(0.5, ages / half_life)[history >= 0]
            np.add.at(decayed[:, column], history[history >= 0], weights)
        known = listed >= 0
        # An item without behaviour has no counts against it: its place is the encoder's and its text's to give.
        behaviour = np.tile(self.typical, (len(listed), 1))
        behaviour[known, :2] = np.log(self.preceded[listed[known]] @ decayed + _FLOOR)
        behaviour[known, 2] = np.log1p(self.counts[listed[known]])
        if near is None or not self.text_share:
            return np.column_stack([behaviour, cosines])
        how_known = np.minimum(np.where(known, behaviour[:, 2], 0.0), _WELL_KNOWN)
        return np.column_stack([behaviour, cosines, near, near * how_known, how_known == 0])

    def rescored(self, scores: Floats, features: Floats) -> Floats:
        """The encoder's scores with all that speaks for the items, float64 [items]."""
        rescored: Floats = scores * self.weights[0] + features @ self.weights[1:] + self.shift
        return rescored

    def followed(self, history: Rows, listed: Rows, most: int) -> list[list[tuple[int, float]]]:
        """The items of a history that each listed item is taken soon after more often than by chance.

        Args:
            history: What the user took, as rows, oldest first; -1: an item that was not there when it was counted.
            listed: The items, as rows; -1 has nothing to follow.
            most: So many of each at most.

        Returns:
            For each listed item places of the history, of an item met more than once its newest, and shares of what
            comes soon after them; the most telling first: share times what the place's age counts.
        """
        newest = {row: place for place, row in enumerate(history.tolist()) if row >= 0}
        places, columns = np.array(list(newest.values()), np.int64), np.array(list(newest), np.int64)
        if not len(columns):
            return [[] for _ in listed]
        shares = self.preceded[np.maximum(listed, 0)][:, columns].toarray()
        chance = self.counts[np.maximum(listed, 0)] / max(1.0, self.counts.sum())
        telling = shares * np.power(0.5, (len(history) - 1 - places) / _HALF_LIVES[-1])
        telling[(shares < _MORE_THAN_CHANCE * chance[:, None]) | (listed < 0)[:, None]] = 0
        order = np.argsort(-telling, axis=1, kind="stable")[:, :most]
        return [
            [(int(places[one]), float(of_one[one])) for one in best if told[one] > 0]
            for best, told, of_one in zip(order, telling, shares, strict=True)
        ]

    def above(self, listed: Rows) -> Floats:
        """The share of the items that are taken more seldom than each listed one, float64 [items listed]."""
        counts = self.counts[np.maximum(listed, 0)]
        places = np.searchsorted(self._ranked_counts, counts) / max(1, len(self.counts))
        return np.where(listed >= 0, places, 0.0)

    def to_parts(self) -> dict[str, object]:
        """Files of a release."""
        arrays = {
            "data": self.preceded.data.astype(np.float32),
            "indices": self.preceded.indices.astype(np.int32),
            "indptr": self.preceded.indptr.astype(np.int64),
            "counts": self.counts,
            "weights": self.weights,
            "shift": np.array([self.shift]),
            "typical": self.typical,
        }
        about = {"features": self.names, "item_ids": self.item_ids, "text_share": self.text_share}
        return {"evidence.safetensors": save_arrays(arrays), "evidence.json": about}

    @classmethod
    def from_parts(cls, data: bytes, about: Mapping[str, Any]) -> Evidence:
        """The inverse of `to_parts`.

        Raises:
            ReleaseError: Another version of llmrec made them, with other features.
        """
        try:
            arrays, item_ids = load_arrays(data), tuple(about["item_ids"])
            shape = (len(item_ids), len(item_ids))
            preceded = csr_matrix((arrays["data"], arrays["indices"], arrays["indptr"]), shape=shape)
            share = float(about.get("text_share", 0.0))  # releases from before it was a setting have none
            shift = float(arrays["shift"][0])
            made = cls(item_ids, preceded, arrays["counts"], arrays["weights"], shift, arrays["typical"], share)
            if tuple(about["features"]) != made.names:
                raise ValueError("other features")
            return made
        except (KeyError, TypeError, ValueError, SafetensorError) as error:
            raise ReleaseError(
                "the release's evidence is of another version of llmrec", hint="make a new release: `llmrec fit`"
            ) from error


def _strongest(matrix: csr_matrix) -> csr_matrix:
    """The `_KEPT` largest entries of each row: what precedes an item seldom says little and costs as much."""
    for row in np.flatnonzero(np.diff(matrix.indptr) > _KEPT):
        part = matrix.data[matrix.indptr[row] : matrix.indptr[row + 1]]
        part[np.argpartition(part, -_KEPT)[:-_KEPT]] = 0
    matrix.eliminate_zeros()
    return matrix


def fit_weights(features: Floats, targets: Rows, listed: NDArray[np.bool_]) -> Floats:
    """The weights that make the targets likeliest within their lists; without any list the first feature alone counts.

    A softmax over each list. Before any list speaks, a weight is the first feature's alone, give or take what one
    standard deviation of its feature is worth one (a normal prior): a few lists change little.

    Args:
        features: [n, items, features], the encoder's score first.
        targets: The place of each list's target, [n].
        listed: Which places hold an item, [n, items].
    """
    alone = np.array([1.0, *np.zeros(features.shape[-1] - 1)])
    if not len(targets):
        return alone
    spread = features[listed].std(axis=0)
    spread[np.ptp(features[listed], axis=0) < 1e-6] = 1.0  # a constant says nothing
    scaled, start, rows = features / spread, alone * spread, np.arange(len(targets))
    penalty = 1 / (2 * len(targets))

    def loss(weights: Floats) -> tuple[float, Floats]:
        logits, away = np.where(listed, scaled @ weights, -np.inf), weights - start
        chances = softmax(logits, axis=1)
        chances[rows, targets] -= 1
        slope = np.einsum("nk,nkf->f", chances, scaled) / len(rows) + 2 * penalty * away
        return float(-log_softmax(logits, axis=1)[rows, targets].mean() + penalty * away @ away), slope

    bounds = [(_LEAST * spread[0], None), *[(None, None)] * (len(start) - 1)]
    fitted: Floats = minimize(loss, start, jac=True, method="L-BFGS-B", bounds=bounds).x / spread
    return fitted


def level_shift(features: Floats, weights: Floats, listed: NDArray[np.bool_]) -> float:
    """What the first feature's chances of whole lists fall by under the weights, on average: what is to be added.

    Args:
        features: [n, items, features].
        weights: [features].
        listed: Which places hold an item, [n, items].
    """
    if not len(features):
        return 0.0
    before, after = (
        logsumexp(np.where(listed, scores, -np.inf), axis=1) for scores in (features[:, :, 0], features @ weights)
    )
    return float(np.mean(before - after))


def typical_features(lists: Floats, weights: Floats, listed: NDArray[np.bool_]) -> Floats:
    """What stands in for the behaviour of an item that has none, float64 [3].

    The mean over listed items, moved along the weights as far as it takes for such items to be among the ten best as
    often after the counts had their say as before, when the encoder alone gave them their places: what nobody could
    count speaks neither for an item nor against it.

    Args:
        lists: [n, items, 1 + features].
        weights: [1 + features].
        listed: Which places hold an item, [n, items].
    """
    mean, behaviour = lists[:, :, 1:4][listed].mean(axis=0), weights[1:4]
    long = listed.sum(axis=1) > _BEST
    if not long.any() or not behaviour.any():
        return np.asarray(mean)
    lists, listed = lists[long], listed[long]
    scores = np.where(listed, lists @ weights, -np.inf)
    tenth, next_one = (np.partition(scores, -place, axis=1)[:, -place, None] for place in (_BEST, _BEST + 1))
    # What an item must reach to be among the ten: it does not stand in its own way.
    bound = np.where(scores >= tenth, next_one, tenth)
    # As `Evidence.features` has it of such an item: the texts' say, nothing known, and never taken.
    uncounted = lists[:, :, 0] * weights[0] + mean @ behaviour + lists[:, :, 4:6] @ weights[4:6] + weights[7:].sum()
    lacking = np.quantile((bound - uncounted)[listed], _BEST * len(lists) / listed.sum())
    return np.asarray(mean + lacking * behaviour / (behaviour @ behaviour))
