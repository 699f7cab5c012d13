"""Metrics: by hand on lists whose worth is obvious, and against ir-measures on random ones."""

import ir_measures
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from ir_measures import RR, P, R, Success, nDCG

from llmrec.errors import DataError
from llmrec.evaluation import Interactions, Sequences
from llmrec.evaluation.metrics import (
    CUTOFFS,
    auc,
    beyond_accuracy,
    check_lists,
    coverage,
    diversity,
    list_accuracy,
    novelty,
    popularity_percentiles,
    recall_curve,
    rmse,
)
from tests.evaluation.worlds import ragged

ITEMS = 40
PEERS = {"precision": P, "recall": R, "hit": Success, "ndcg": nDCG, "mrr": RR}


@st.composite
def answered(draw: st.DrawFn) -> tuple[np.ndarray, Sequences]:
    """Lists of up to 20 items, the rest filled up, and one to six targets for each."""
    seed, users = draw(st.integers(0, 2**32 - 1)), draw(st.integers(1, 6))
    generator = np.random.default_rng(seed)
    lists = np.stack([generator.permutation(ITEMS)[:20] for _ in range(users)])
    for line in lists:
        line[draw(st.integers(0, 20)) :] = -1
    return lists, ragged(*(generator.permutation(ITEMS)[: draw(st.integers(1, 6))].tolist() for _ in range(users)))


@settings(max_examples=60, deadline=None)
@given(answered())
def test_metrics_agree_with_ir_measures(case: tuple[np.ndarray, Sequences]) -> None:
    lists, targets = case
    found = list_accuracy(lists, targets, ITEMS)
    measures = {f"{name}@{k}": peer @ k for name, peer in PEERS.items() for k in CUTOFFS}
    names = {measure: name for name, measure in measures.items()}
    qrels = [ir_measures.Qrel(f"{user:02d}", f"{row:02d}", 1) for user, rows in enumerate(targets) for row in rows]
    scored = [
        ir_measures.ScoredDoc(f"{user:02d}", f"{row:02d}", 1.0 - place / 100)
        for user, line in enumerate(lists)
        for place, row in enumerate(line)
        if row >= 0
    ]
    theirs = {name: np.zeros(len(lists)) for name in measures}
    for value in ir_measures.iter_calc(list(measures.values()), qrels, scored):
        theirs[names[value.measure]][int(value.query_id)] = value.value
    assert set(found) == set(theirs)
    for name, values in found.items():
        np.testing.assert_allclose(values, theirs[name], atol=1e-9, err_msg=name)


def test_a_target_in_third_place() -> None:
    found = list_accuracy(np.array([[7, 8, 3, 9, 1]]), ragged([3]), 10, (2, 5))
    assert {name: float(value[0]) for name, value in found.items()} == pytest.approx(
        {
            "precision@2": 0, "recall@2": 0, "hit@2": 0, "ndcg@2": 0, "mrr@2": 0,
            "precision@5": 0.2, "recall@5": 1, "hit@5": 1, "ndcg@5": 0.5, "mrr@5": 1 / 3,
        }
    )  # fmt: skip


def test_a_perfect_list_is_worth_one_however_many_targets() -> None:
    found = list_accuracy(np.array([[4, 2, 6, 0, 1]]), ragged([6, 4, 2]), 10, (5,))
    assert found["ndcg@5"][0] == pytest.approx(1)
    assert found["recall@5"][0] == 1
    assert found["precision@5"][0] == pytest.approx(0.6)


def test_a_hit_of_another_user_does_not_count() -> None:
    found = list_accuracy(np.array([[1, 2], [3, 4]]), ragged([3], [1]), 10, (2,))
    assert list(found["hit@2"]) == [0, 0]


def test_lists_that_are_too_short_for_a_cutoff_are_refused() -> None:
    with pytest.raises(DataError, match="too few for a cutoff of 5"):
        list_accuracy(np.array([[1, 2]]), ragged([1]), 10, (2, 5))


def test_the_recall_curve_rises_where_targets_stand() -> None:
    curve = recall_curve(np.array([[1, 2, 3], [1, 2, 3]]), ragged([2], [3, 9]), 10)
    assert list(curve) == [0, 0.5, 0.75]


@pytest.mark.parametrize(
    ("line", "complaint"),
    [([1, 1, -1], "list 1 names an item twice"), ([0, 1, 2], "of the history"), ([10, 1, 2], "does not exist")],
)
def test_a_wrong_list_is_named(line: list[int], complaint: str) -> None:
    with pytest.raises(DataError, match=complaint):
        check_lists(np.array([[5, 6, 7], line]), ragged([9], [0]), 10)


def test_right_lists_pass() -> None:
    check_lists(np.array([[5, 6, 7], [1, -1, -1]]), ragged([0], [0]), 10)


def world() -> Interactions:
    # Item 0 is taken by all four users, item 1 by one, item 2 by none.
    return Interactions(("a", "b", "c", "d"), ("0", "1", "2"), ragged([0], [0], [0, 1], [0]))


def test_what_everybody_has_is_no_news_and_what_nobody_has_is() -> None:
    found = novelty(np.array([[0, -1], [2, -1], [0, 2], [-1, -1]]), world())
    np.testing.assert_allclose(found, [0, np.log2(5), np.log2(5) / 2, np.nan])


def test_percentiles_of_popularity() -> None:
    np.testing.assert_allclose(popularity_percentiles(np.array([4, 1, 0])), [5 / 6, 3 / 6, 1 / 6])
    np.testing.assert_allclose(popularity_percentiles(np.array([2, 2])), [0.5, 0.5])


def test_bias_is_by_how_much_lists_are_more_popular_than_histories() -> None:
    found = beyond_accuracy(np.array([[0], [2], [0]]), ragged([2], [2], []), world(), (1,))
    np.testing.assert_allclose(found["popularity@1"], [5 / 6, 1 / 6, 5 / 6])
    np.testing.assert_allclose(found["popularity_bias@1"], [4 / 6, 0, np.nan])
    assert "diversity@1" not in found


def test_like_items_are_not_diverse_and_unlike_ones_are() -> None:
    vectors = np.array([[1.0, 0.0], [2.0, 0.0], [0.0, 3.0], [-1.0, 0.0]])
    lists = np.array([[0, 1, -1], [0, 2, -1], [0, 3, -1], [0, 1, 2], [0, -1, -1]])
    np.testing.assert_allclose(diversity(lists, vectors), [0, 1, 2, 2 / 3, np.nan], atol=1e-12)


def test_coverage_is_the_share_of_items_in_any_list() -> None:
    assert coverage(np.array([[0, 1], [1, -1]]), 4) == 0.5


def test_rmse_of_an_error_of_two_in_half_the_cases() -> None:
    assert rmse(np.array([3.0, 5.0]), np.array([3.0, 3.0])) == pytest.approx(np.sqrt(2))


def test_auc_counts_pairs_in_the_right_order_and_ties_half() -> None:
    liked = np.array([False, True, False, True])
    once = np.ones(4, np.int64)
    assert auc(np.array([1, 2, 0, 3]), liked, once) == 1
    assert auc(np.array([0, 0, 0, 0]), liked, once) == 0.5
    assert auc(np.array([2, 1, 0, 3]), liked, once) == 0.75
    assert auc(np.array([2, 1, 0, 3]), liked, np.array([0, 1, 1, 1])) == 1
    assert np.isnan(auc(np.array([0]), np.array([True]), np.array([1])))
