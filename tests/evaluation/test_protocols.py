"""What is asked, and that nothing of the answer can be known before."""

from datetime import datetime

import numpy as np
import pytest

from llmrec.errors import DataError
from llmrec.evaluation import (
    Interactions,
    Split,
    hold_out_items,
    interactions_from_events,
    leave_last_out,
    leave_one_out,
    temporal_split,
    training_interactions,
)
from llmrec.records import Event
from tests.evaluation.worlds import START, at, blocks, lists_of, ragged, taken

PLANT = "from the future"


def shop() -> Interactions:
    return taken({"ann": "rake spade hose pan", "bob": "pan pot", "cem": "knife board pot"})


def questions(split: Split) -> dict[str, tuple[str, str]]:
    users = [split.interactions.user_ids[row] for row in split.requests.users]
    histories = lists_of(split.requests.histories, split.interactions)
    return dict(zip(users, zip(histories, lists_of(split.targets, split.interactions), strict=True), strict=True))


def known(split: Split) -> list[str]:
    return lists_of(training_interactions(split).sequences, split.interactions)


def test_the_last_item_is_the_test_and_the_history_holds_the_validation_item() -> None:
    split = leave_one_out(shop())
    assert questions(split) == {"ann": ("rake spade hose", "pan"), "cem": ("knife board", "pot")}
    assert known(split) == ["rake spade", "pan pot", "knife"]


def test_the_item_before_the_last_is_for_validation() -> None:
    split = leave_one_out(shop(), "validation")
    assert questions(split) == {"ann": ("rake spade", "hose"), "cem": ("knife", "board")}
    assert known(split) == known(leave_one_out(shop()))


def test_each_of_the_last_items_is_foretold_from_what_was_before_it() -> None:
    split = leave_last_out(taken({"ann": "rake spade hose pan", "bob": "pan pot", "cem": "knife board pot rake"}), 2)
    users = [split.interactions.user_ids[row] for row in split.requests.users]
    assert users == ["ann", "ann", "cem", "cem"]
    histories = lists_of(split.requests.histories, split.interactions)
    assert histories == ["rake spade", "rake spade hose", "knife board", "knife board pot"]
    assert lists_of(split.targets, split.interactions) == ["hose", "pan", "pot", "rake"]
    assert known(split) == ["rake spade", "pan pot", "knife board"]
    with pytest.raises(DataError, match="no user has events"):
        leave_last_out(shop(), 3)
    with pytest.raises(DataError, match="0 targets"):
        leave_last_out(shop(), 0)


def test_an_item_that_is_met_again_is_not_asked_for() -> None:
    split = leave_one_out(taken({"ann": "rake spade hose rake"}))
    assert questions(split) == {"ann": ("rake spade", "hose")}


def test_a_split_in_time_is_the_same_moment_for_everybody() -> None:
    split = temporal_split(shop(), time=at(2))
    assert questions(split) == {"ann": ("rake spade", "hose pan"), "cem": ("knife board", "pot")}
    assert known(split) == ["rake spade", "pan pot", "knife board"]


def test_a_user_who_begins_after_the_split_has_an_empty_history() -> None:
    events = [Event("ann", "rake", timestamp=at(0)), Event("bob", "pan", timestamp=at(3))]
    assert questions(temporal_split(interactions_from_events(events), time=at(1))) == {"bob": ("", "pan")}


def test_an_item_that_is_known_is_no_target_after_the_split() -> None:
    split = temporal_split(taken({"ann": "rake spade rake hose"}), time=at(2))
    assert questions(split) == {"ann": ("rake spade", "hose")}


def test_a_fraction_splits_where_so_many_events_have_happened() -> None:
    one_each_day = [Event(f"u{day % 3}", f"i{day}", timestamp=at(day)) for day in range(10)]
    split = temporal_split(interactions_from_events(one_each_day), fraction=0.8)
    assert len(training_interactions(split).sequences.rows) == 8
    assert sorted(" ".join(target for _, target in questions(split).values()).split()) == ["i8", "i9"]


def test_the_training_events_can_be_split_again_for_validation() -> None:
    first = temporal_split(shop(), time=at(3))
    again = temporal_split(training_interactions(first), time=at(2))
    assert questions(again) == {"ann": ("rake spade", "hose"), "cem": ("knife board", "pot")}


def planted(day: float) -> Interactions:
    """Everybody's newest event is on one item that nobody had before."""
    users = {"ann": "rake spade hose", "bob": "pan pot knife", "cem": "spade pan rake"}
    events = [
        Event(user_id, item_id, timestamp=at(place))
        for user_id, item_ids in users.items()
        for place, item_id in enumerate(item_ids.split())
    ]
    plants = [Event(user_id, PLANT, timestamp=at(int(day))) for user_id in users]
    return interactions_from_events([*plants, *events])


@pytest.mark.parametrize(
    "split",
    [leave_one_out(planted(20)), temporal_split(planted(20), time=at(10)), temporal_split(planted(20), fraction=0.7)],
    ids=["leave-one-out", "time", "fraction"],
)
def test_a_planted_future_event_is_in_no_history_and_in_no_training_set(split: Split) -> None:
    row = split.interactions.item_ids.index(PLANT)
    assert row not in split.requests.histories.rows
    assert row not in training_interactions(split).sequences.rows
    assert len(training_interactions(split).sequences.rows)
    assert (split.targets.rows == row).sum() == 3


def test_the_plant_would_be_found_if_it_were_in_the_past() -> None:
    split = leave_one_out(planted(-1))
    row = split.interactions.item_ids.index(PLANT)
    assert row in split.requests.histories.rows
    assert row in training_interactions(split).sequences.rows


def test_a_test_item_is_not_in_its_own_users_training_events() -> None:
    generator = np.random.default_rng(1)
    some = Interactions(
        tuple(f"u{user}" for user in range(30)),
        tuple(f"i{row}" for row in range(20)),
        ragged(*(generator.integers(20, size=generator.integers(1, 12)).tolist() for _ in range(30))),
    )
    for split in (leave_one_out(some), leave_one_out(some, "validation")):
        training = training_interactions(split).sequences
        for place, user in enumerate(split.requests.users):
            assert not set(split.targets[place]) & set(training[user])
            assert not set(split.targets[place]) & set(split.requests.histories[place])


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        ({}, "needs a fraction or a time"),
        ({"fraction": 0.5, "time": at(1)}, "needs a fraction or a time"),
        ({"fraction": 1.0}, "not between 0 and 1"),
        ({"time": datetime(2024, 5, 2)}, "no time zone"),
        ({"time": START}, "no event lies before"),
        ({"time": at(9)}, "no user has events to foretell"),
    ],
)
def test_a_split_in_time_that_cannot_be_is_refused(options: dict[str, object], complaint: str) -> None:
    with pytest.raises(DataError, match=complaint):
        temporal_split(shop(), **options)  # type: ignore[arg-type]


def test_a_split_in_time_needs_times() -> None:
    with pytest.raises(DataError, match="needs a time on every event"):
        temporal_split(interactions_from_events([Event("ann", "rake")]), fraction=0.5)


def test_leave_one_out_needs_somebody_with_three_items() -> None:
    with pytest.raises(DataError, match="no user has events to foretell"):
        leave_one_out(taken({"ann": "rake pan", "bob": "pot pot pot"}))


def test_another_target_is_refused() -> None:
    with pytest.raises(DataError, match="'train'"):
        leave_one_out(shop(), "train")  # type: ignore[arg-type]


def test_items_held_out_are_only_ever_targets_of_the_test() -> None:
    some = blocks(users=200)
    fewer, held = hold_out_items(some, 0.25, seed=1)
    test, validation = leave_one_out(fewer), leave_one_out(fewer, "validation")
    assert len(held) == 4
    assert not np.isin(training_interactions(test).sequences.rows, held).any()
    assert not np.isin(test.requests.histories.rows, held).any()
    assert not np.isin(validation.targets.rows, held).any()
    assert np.isin(test.targets.rows, held).sum() > 20
    warm = ~np.isin(some.sequences.rows, held)
    kept = fewer.sequences.rows[~np.isin(fewer.sequences.rows, held)]
    assert list(kept) == list(some.sequences.rows[warm])


def test_who_has_too_few_events_left_keeps_no_item_that_is_held_out() -> None:
    fewer, held = hold_out_items(taken({"ann": "rake pan", "bob": "pan pot spade"}), 0.9)
    assert len(held) == 7
    assert not np.isin(fewer.sequences.rows, held).any()


@pytest.mark.parametrize(("share", "items"), [(0.05, 0), (0.95, 8)])
def test_a_share_that_rounds_to_none_or_all_is_refused(share: float, items: int) -> None:
    with pytest.raises(DataError, match=f"of 8 items is {items}"):
        hold_out_items(shop(), share)


@pytest.mark.parametrize("share", [0.0, 1.0])
def test_all_or_none_cannot_be_held_out(share: float) -> None:
    with pytest.raises(DataError, match="not between 0 and 1"):
        hold_out_items(shop(), share)
