"""The control reorders the retriever's lists, with weights fitted on held-out events."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from llmrec.errors import NotFittedError
from llmrec.evaluation import Control, FittedSystem, Interactions, leave_one_out, training_interactions
from llmrec.evaluation.interactions import Rows, Sequences
from llmrec.evaluation.protocols import Requests
from tests.evaluation.worlds import ragged, requests

STEPS, USERS = 60, 80


class Blind(FittedSystem):
    """A retriever that lists the same items for everybody, best known last, with scores that say little."""

    def __init__(self, items: int) -> None:
        super().__init__(np.zeros((items, 1), np.float32), None)
        self.items = items

    def rank(self, requests: Requests, k: int) -> Rows:
        lists = np.full((len(requests), k), -1)
        for place in range(len(requests)):
            free = np.setdiff1d(np.arange(self.items), requests.histories[place])[:k]
            lists[place, : len(free)] = free
        return lists

    def score(self, requests: Requests, targets: Sequences) -> np.ndarray:
        return -0.01 * targets.rows.astype(np.float64)


@pytest.fixture
def ring() -> Interactions:
    """After an item everybody takes the next one."""
    starts = np.random.default_rng(0).integers(40, size=USERS)
    parts = ragged(*[((start + np.arange(8)) % 40).tolist() for start in starts])
    return Interactions(tuple(f"u{user}" for user in range(USERS)), tuple(f"s{step}" for step in range(STEPS)), parts)


def test_it_learns_that_the_next_item_follows_and_puts_it_first(ring: Interactions) -> None:
    split = leave_one_out(ring)
    control = Control(Blind(STEPS), None)
    control.fit(training_interactions(split))
    first = control.rank(split.requests, 10)[:, 0]
    assert (first == split.targets.rows).mean() > 0.95
    assert (Blind(STEPS).rank(split.requests, 10)[:, 0] == split.targets.rows).mean() < 0.5


def test_texts_count_where_they_tell(ring: Interactions) -> None:
    """Behaviour is shuffled away; the text of what is taken is that of the history."""
    generator = np.random.default_rng(1)
    sides = [generator.permutation(np.arange(side, 40, 2))[:8].tolist() for side in generator.integers(2, size=USERS)]
    told = replace(ring, sequences=ragged(*sides))
    vectors = np.eye(2, dtype=np.float32)[np.arange(STEPS) % 2]
    split = leave_one_out(told)
    control = Control(Blind(STEPS), vectors)
    control.fit(training_interactions(split))
    best = control.rank(split.requests, 5)
    assert (best % 2 == split.targets.rows[:, None] % 2).mean() > 0.95


def test_it_only_reorders_what_was_listed(ring: Interactions) -> None:
    control = Control(Blind(STEPS), None)
    control.fit(ring)
    asked = requests([0, 1, 2], [5], [])
    np.testing.assert_array_equal(control.rank(asked, 10)[2], Blind(STEPS).rank(asked, 10)[2])  # nothing is known
    for k in (10, 50, 55):
        listed = Blind(STEPS).rank(asked, max(k, 50))
        found = control.rank(asked, k)
        assert found.shape == (3, k)
        if k >= 50:
            assert [set(one) for one in found[:, :50].tolist()] == [set(one) for one in listed[:, :50].tolist()]
            np.testing.assert_array_equal(found[:, 50:], listed[:, 50:k])


def test_texts_propose_for_a_share_of_the_places(ring: Interactions) -> None:
    """Items 40 to 59 are taken by nobody; the text of each is that of an item everybody knows."""
    vectors = np.zeros((STEPS, 40), np.float32)
    vectors[np.arange(STEPS), np.arange(STEPS) % 40] = 1
    alone, shared = (Control(Blind(STEPS), vectors, candidates=10, text_share=share) for share in (0.0, 0.2))
    for control in (alone, shared):
        control.fit(ring)
    asked = requests([3, 15], [])
    assert 55 not in alone.rank(asked, 10)
    found = shared.rank(asked, 10)
    assert set(found[0].tolist()) == {*Blind(STEPS).rank(asked, 8)[0].tolist(), 55, 9}  # and the first other
    assert set(found[1].tolist()) == {*range(8), -1}
    longer = shared.rank(asked, 30)[0].tolist()
    assert len(set(longer)) == 30
    assert set(longer[:10]) == set(found[0].tolist())
    assert not {3, 15, -1} & set(longer)


def test_its_weights_come_from_events_that_the_counts_have_not_seen(ring: Interactions) -> None:
    """Where the newest events contradict what came before, counting them would make what follows look certain."""
    newest = ring.sequences.indptr[1:] - 1
    rows = ring.sequences.rows.copy()
    rows[newest] = 41 + np.arange(USERS) % 9
    control = Control(Blind(STEPS), None)
    control.fit(ring.with_sequences(replace(ring.sequences, rows=rows)))
    assert control.evidence is not None
    assert control.evidence.weights[1] < 0.1


def test_without_anybody_to_ask_the_retrievers_order_stays() -> None:
    few = Interactions(("a", "b"), tuple("xyz"), ragged([0, 1], [2]))
    control = Control(Blind(3), None)
    control.fit(few)
    asked = requests([0])
    np.testing.assert_array_equal(control.rank(asked, 3), Blind(3).rank(asked, 3))


def test_unfitted_it_says_so() -> None:
    with pytest.raises(NotFittedError):
        Control(Blind(3), None).rank(requests([0]), 3)
