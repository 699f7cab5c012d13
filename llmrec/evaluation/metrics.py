"""What a ranked list is worth, user by user, and what a set of lists does to the catalogue.

Lists are int64 [n, depth] of item rows, best first, filled up with -1; items of the history are already left out, and
every other item of the catalogue could have been in them: no sampled metrics. Relevance is yes or no.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.stats import rankdata

from llmrec.errors import DataError
from llmrec.evaluation.interactions import Floats, Interactions, Rows, Sequences

__all__ = [
    "CUTOFFS",
    "auc",
    "beyond_accuracy",
    "check_lists",
    "coverage",
    "diversity",
    "list_accuracy",
    "novelty",
    "popularity_percentiles",
    "recall_curve",
    "rmse",
]

CUTOFFS = (5, 10, 20)
_CHUNK = 1024


def check_lists(lists: Rows, histories: Sequences, items: int) -> None:
    """Refuse lists that name an item twice, an item of the history, or none of the catalogue.

    Raises:
        DataError: It says which list is wrong, and why.
    """
    faults = {
        "names an item that does not exist": (lists < -1) | (lists >= items),
        "names an item of the history": _contained(lists, histories, items),
        "names an item twice": _repeated(lists),
    }
    for reason, wrong in faults.items():
        if wrong.any():
            place = int(np.flatnonzero(wrong.any(axis=1))[0])
            raise DataError(f"list {place} {reason}", hint="mask what the user has met, and rank each item once")


def list_accuracy(lists: Rows, targets: Sequences, items: int, cutoffs: Sequence[int] = CUTOFFS) -> dict[str, Floats]:
    """Precision, recall, hit rate, NDCG and MRR of each list, float64 [n] each, under names such as ``ndcg@10``.

    With R targets, of which hits(k) are among the first k:
        precision@k  hits(k) / k
        recall@k     hits(k) / R; with one target the same as hit@k, which the literature then calls HR or recall
        hit@k        1 if hits(k) > 0
        ndcg@k       sum of 1 / log2(rank + 1) over the hits, divided by the same sum over ranks 1 .. min(k, R)
                     (Järvelin and Kekäläinen 2002, gain 1)
        mrr@k        1 / rank of the first hit, 0 if there is none (Voorhees 1999)

    Raises:
        DataError: A cutoff is deeper than the lists.
    """
    if max(cutoffs) > lists.shape[1]:
        raise DataError(
            f"the lists hold {lists.shape[1]} items, too few for a cutoff of {max(cutoffs)}", hint="make longer lists"
        )
    hits = _contained(lists, targets, items)
    relevant = targets.lengths
    discounts = 1 / np.log2(np.arange(lists.shape[1]) + 2)
    ideal = np.concatenate([[0.0], np.cumsum(discounts)])
    first = np.where(hits.any(axis=1), hits.argmax(axis=1) + 1.0, np.inf)
    found: dict[str, Floats] = {}
    for k in cutoffs:
        count = hits[:, :k].sum(axis=1)
        found[f"precision@{k}"] = count / k
        found[f"recall@{k}"] = count / relevant
        found[f"hit@{k}"] = (count > 0).astype(np.float64)
        found[f"ndcg@{k}"] = hits[:, :k] @ discounts[:k] / ideal[np.minimum(k, relevant)]
        found[f"mrr@{k}"] = np.where(first <= k, 1 / first, 0.0)
    return found


def recall_curve(lists: Rows, targets: Sequences, items: int) -> Floats:
    """The mean recall at every depth from 1 on, float64 [depth]."""
    hits = _contained(lists, targets, items).cumsum(axis=1)
    curve: Floats = (hits / targets.lengths[:, None]).mean(axis=0)
    return curve


def beyond_accuracy(
    lists: Rows,
    histories: Sequences,
    training: Interactions,
    cutoffs: Sequence[int] = CUTOFFS,
    vectors: NDArray[np.floating] | None = None,
) -> dict[str, Floats]:
    """Novelty, popularity, popularity bias and, given item vectors, diversity of each list, float64 [n] each.

    popularity@k is the mean popularity percentile of what is recommended; popularity_bias@k is that less the mean
    percentile of the history, as the GAP measure of Abdollahpouri et al. 2019 compares the two. NaN where a list or
    a history is empty.
    """
    percentiles = popularity_percentiles(training.item_counts)
    before = _mean_of_sequences(percentiles, histories)
    found: dict[str, Floats] = {}
    for k in cutoffs:
        top = lists[:, :k]
        found[f"novelty@{k}"] = novelty(top, training)
        found[f"popularity@{k}"] = _mean_of_lists(percentiles, top)
        found[f"popularity_bias@{k}"] = found[f"popularity@{k}"] - before
        if vectors is not None:
            found[f"diversity@{k}"] = diversity(top, vectors)
    return found


def novelty(lists: Rows, training: Interactions) -> Floats:
    """Mean self-information of each list's items in bits, float64 [n]; NaN for an empty list.

    -log2 of the share of users who took the item (Zhou et al. 2010; Vargas and Castells 2011), with one more user who
    took everything, so that an item nobody took has a finite value.
    """
    share = (training.item_counts + 1) / (len(training.user_ids) + 1)
    return _mean_of_lists(-np.log2(share), lists)


def diversity(lists: Rows, vectors: NDArray[np.floating]) -> Floats:
    """1 - mean cosine between two items of a list (Ziegler et al. 2005), float64 [n]; NaN with fewer than two items.

    Args:
        lists: Item rows.
        vectors: A vector for each item row, [items, dimension]; a zero vector is like nothing.
    """
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    unit = np.divide(vectors, lengths, out=np.zeros_like(vectors), where=lengths > 0)
    there, found = lists >= 0, np.empty(len(lists))
    count = there.sum(axis=1)
    for start in range(0, len(lists), _CHUNK):
        part = slice(start, start + _CHUNK)
        chosen = unit[np.maximum(lists[part], 0)] * there[part][..., None]
        # The squared length of the sum is the sum over all pairs, each vector with itself included.
        found[part] = (chosen.sum(axis=1) ** 2).sum(axis=1) - (chosen**2).sum(axis=(1, 2))
    return 1 - _ratio(found, count * (count - 1))


def coverage(lists: Rows, items: int) -> float:
    """The share of the catalogue that stands in at least one list (Ge et al. 2010)."""
    return len(np.unique(lists[lists >= 0])) / items


def popularity_percentiles(counts: Rows) -> Floats:
    """The share of items less popular than each, ties counted half, float64 [items], in (0, 1)."""
    ranks: Floats = rankdata(counts)
    return (ranks - 0.5) / max(len(counts), 1)


def rmse(predicted: Floats, actual: Floats, counts: Rows | None = None) -> float:
    """Root mean squared error of predicted ratings; `counts` says how often each is there, once by default."""
    return float(np.sqrt(np.average((predicted - actual) ** 2, weights=counts)))


def auc(places: Rows, positive: NDArray[np.bool_], counts: Rows) -> float:
    """The chance that a positive stands above a negative, ties counted half (Mann and Whitney 1947).

    NaN where there are none of one kind.

    Args:
        places: Where each event stands in the order of the scores, from 0, equal ones at one place: what
            `np.unique(scores, return_inverse=True)` gives.
        positive: Which events are positives.
        counts: How often each event is there.
    """
    positives = np.bincount(places, weights=counts * positive)
    negatives = np.bincount(places, weights=counts * ~positive)
    pairs = positives.sum() * negatives.sum()
    return float(positives @ (negatives.cumsum() - negatives / 2) / pairs) if pairs else float("nan")


def _contained(lists: Rows, sequences: Sequences, items: int) -> NDArray[np.bool_]:
    """Whether each item of a list is in the sequence of the same place, bool [n, depth]."""
    keys = sequences.owners * items + sequences.rows
    asked = np.arange(len(lists))[:, None] * items + lists
    return np.isin(asked, keys) & (lists >= 0)


def _repeated(lists: Rows) -> NDArray[np.bool_]:
    ordered = np.sort(lists, axis=1)
    repeated: NDArray[np.bool_] = (ordered[:, 1:] == ordered[:, :-1]) & (ordered[:, 1:] >= 0)
    return repeated


def _mean_of_lists(values: Floats, lists: Rows) -> Floats:
    there = lists >= 0
    sums = np.where(there, values[np.maximum(lists, 0)], 0.0).sum(axis=1)
    return _ratio(sums, there.sum(axis=1))


def _mean_of_sequences(values: Floats, sequences: Sequences) -> Floats:
    sums = np.bincount(sequences.owners, weights=values[sequences.rows], minlength=len(sequences))
    return _ratio(sums.astype(np.float64), sequences.lengths)


def _ratio(sums: Floats, counts: Rows) -> Floats:
    ratio = np.full(len(sums), np.nan)
    np.divide(sums, counts, out=ratio, where=counts > 0)
    return ratio
