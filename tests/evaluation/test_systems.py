"""Lists from scores: the best first, nothing seen, ties in the order of the items, whatever the chunks."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from llmrec.evaluation import rank_by_score, systems, top_rows
from llmrec.evaluation.protocols import Requests
from tests.evaluation.worlds import requests


@settings(max_examples=100, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(1, 400), st.integers(1, 30), st.integers(1, 6))
def test_the_top_is_that_of_a_stable_sort(seed: int, items: int, k: int, levels: int) -> None:
    generator = np.random.default_rng(seed)
    scores = generator.integers(levels, size=(5, items)).astype(np.float32)
    scores[generator.random(scores.shape) < 0.3] = -np.inf
    expected = np.full((5, k), -1)
    for line, values in enumerate(scores):
        order = [row for row in np.argsort(-values, kind="stable")[:k] if values[row] > -np.inf]
        expected[line, : len(order)] = order
    np.testing.assert_array_equal(top_rows(scores, k), expected)


def by_row(asked: Requests) -> np.ndarray:
    return np.tile(np.arange(6, dtype=np.float32), (len(asked), 1))


def test_what_was_met_is_left_out_and_missing_places_are_marked() -> None:
    lists = rank_by_score(by_row, requests([5, 3], [], [0, 1, 2, 3, 4]), 3, 6)
    assert lists.tolist() == [[4, 2, 1], [5, 4, 3], [5, -1, -1]]


def test_a_catalogue_smaller_than_the_list_is_filled_up() -> None:
    assert rank_by_score(by_row, requests([0]), 8, 6).tolist() == [[5, 4, 3, 2, 1, -1, -1, -1]]


@pytest.mark.parametrize("cells", [1, 12, 10_000])
def test_chunks_hold_so_many_scores_and_change_nothing(monkeypatch: pytest.MonkeyPatch, cells: int) -> None:
    monkeypatch.setattr(systems, "_CHUNK_CELLS", cells)
    asked = []

    def score(part: Requests) -> np.ndarray:
        asked.append(len(part))
        return np.outer(part.users + 1.0, [1, -1, 2, 0, 3, -2]).astype(np.float32)

    lists = rank_by_score(score, requests([4], [], [2], [0], []), 2, 6)
    assert lists.tolist() == [[2, 0], [4, 2], [4, 0], [4, 2], [4, 2]]
    assert max(asked) == max(1, min(cells // 6, 5))
    assert sum(asked) == 5
