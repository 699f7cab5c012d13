"""A run asks a system fairly, and does not take any answer for one."""

import numpy as np
import pytest

from llmrec.errors import DataError
from llmrec.evaluation import (
    Interactions,
    Requests,
    Sequences,
    interactions_from_events,
    leave_one_out,
    run,
    temporal_split,
)
from llmrec.records import Event
from tests.evaluation.worlds import at, lists_of, taken


class Fixed:
    """Recommends the same rows to everybody, and keeps what it was given."""

    name = "fixed"

    def __init__(self, *rows: int) -> None:
        self.rows = rows

    def fit(self, training: Interactions) -> None:
        self.training = training

    def rank(self, requests: Requests, k: int) -> np.ndarray:
        self.requests = requests
        return np.array([[*self.rows, *[-1] * (k - len(self.rows))]] * len(requests))


class Opinionated(Fixed):
    def score(self, requests: Requests, targets: Sequences) -> np.ndarray:
        self.asked = len(requests)
        return requests.users[targets.owners] * 100.0 + targets.rows


class Resumed(Fixed):
    fit_seconds = 3600.0


def shop() -> Interactions:
    return taken({"ann": "rake spade hose", "bob": "pan pot knife board"})


def test_a_system_gets_the_training_events_and_the_histories() -> None:
    system = Fixed(1)
    done = run(system, leave_one_out(shop()), depth=2)
    assert lists_of(system.training.sequences, shop()) == ["rake", "pan pot"]
    assert lists_of(system.requests.histories, shop()) == ["rake spade", "pan pot knife"]
    assert done.lists.tolist() == [[1, -1], [1, -1]]
    assert set(done.seconds) == {"fit", "rank"}


def test_lists_of_another_length_are_refused() -> None:
    with pytest.raises(DataError, match=r"fixed gave lists of the shape \(2, 3\)"):
        run(Fixed(1, 2, 3), leave_one_out(shop()), depth=2)


def test_an_item_of_the_history_is_refused() -> None:
    rake = shop().item_ids.index("rake")
    with pytest.raises(DataError, match="list 0 names an item of the history"):
        run(Fixed(rake), leave_one_out(shop()), depth=2)


def test_targets_are_scored_where_they_are_rated() -> None:
    events = [Event(user_id, item, "rating", 3) for user_id in ("ann", "bob") for item in ("a", "b", "c")]
    split = leave_one_out(interactions_from_events(events))
    scores = run(Opinionated(), split, depth=2).target_scores
    assert scores is not None
    assert list(scores) == [2, 102]
    assert run(Fixed(), split, depth=2).target_scores is None


def test_each_request_is_asked_once_whatever_the_number_of_its_targets() -> None:
    events = [Event("ann", item, "rating", 3, timestamp=at(day)) for day, item in enumerate("abcde")]
    system, split = Opinionated(), temporal_split(interactions_from_events(events), time=at(2))
    scores = run(system, split, depth=2).target_scores
    assert system.asked == 1
    assert scores is not None
    assert list(scores) == [2, 3, 4]


def test_a_training_that_was_taken_up_counts_whole() -> None:
    assert run(Resumed(), leave_one_out(shop()), depth=2).seconds["fit"] == 3600


def test_targets_without_a_rating_are_not_scored() -> None:
    assert run(Opinionated(), leave_one_out(shop()), depth=2).target_scores is None
