"""Slices hold the requests they are named after, and ask for the targets they are about."""

import numpy as np

from llmrec.evaluation import Split, leave_one_out, temporal_split
from llmrec.evaluation.slices import Slice, slices
from tests.evaluation.worlds import at, names, taken

REGULARS = {f"user{number}": "rake spade hose pan pot knife" for number in range(5)}


def by_name(split: Split, **groups: dict[str, object]) -> dict[str, Slice]:
    return {part.name: part for part in slices(split, groups)}


def who(split: Split, part: Slice) -> list[str]:
    return [split.interactions.user_ids[row] for row in split.requests.users[part.places]]


def test_cold_items_have_no_training_event_and_rare_ones_fewer_than_five() -> None:
    # Five users know the rake in training; the gloves are only ever a target.
    users = {
        **REGULARS,
        "ann": "pan pot rake",
        "bob": "pan pot gloves",
        "cem": "board rake hose",
        "dia": "pan pot board",
    }
    split = leave_one_out(taken(users))
    rare, cold = (who(split, by_name(split)[name]) for name in ("rare_items", "cold_items"))
    assert {"bob", "dia"} <= set(rare)
    assert "ann" not in rare
    assert "bob" in cold
    assert "dia" not in cold
    warm = who(split, by_name(split)["warm_items"])
    assert {"ann", "dia"} <= set(warm)
    assert not set(warm) & set(cold)


def test_short_histories_have_at_most_five_events() -> None:
    split = leave_one_out(taken({**REGULARS, "ann": "rake spade hose pan pot knife board"}))
    part = by_name(split)["short_histories"]
    assert who(split, part) == list(REGULARS)
    assert split.requests.histories.lengths[part.places].max() == 5


def test_users_are_grouped_by_what_is_known_of_them() -> None:
    split = leave_one_out(taken({"ann": "rake pan pot", "bob": "pan pot rake", "cem": "pot pan rake"}))
    parts = by_name(split, age={"ann": 31, "bob": 52, "dia": 31}, gone={"dia": "x"})
    assert who(split, parts["age=31"]) == ["ann"]
    assert who(split, parts["age=52"]) == ["bob"]
    assert not any(name.startswith("gone") for name in parts)


def test_of_several_targets_only_the_rare_ones_are_asked_for() -> None:
    users = {f"user{number}": "rake spade" for number in range(5)}
    split = temporal_split(taken({**users, "ann": "pan pot rake gloves"}), time=at(2))
    part = by_name(split)["rare_items"]
    assert names(split.interactions, part.targets[0]) == "gloves"
    rake, gloves = (split.interactions.item_ids.index(name) for name in ("rake", "gloves"))
    lists = np.full((len(split.requests), 2), -1)
    lists[part.places[0]] = [rake, gloves]
    found = part.accuracy(lists, len(split.interactions.item_ids), (1, 2))
    assert found["hit@1"][0] == 0
    assert found["recall@2"][0] == 1


def test_the_slices_of_every_report_are_there_without_requests_too() -> None:
    popular = {f"user{number}": "rake spade hose pan pot knife board gloves" for number in range(6)}
    parts = by_name(leave_one_out(taken(popular)), gone={"zoe": "x"})
    assert {name: len(part.places) for name, part in parts.items()} == {
        "cold_items": 6,
        "warm_items": 0,
        "rare_items": 6,
        "short_histories": 0,
    }


def test_of_many_groups_the_largest_stay() -> None:
    users = {f"user{number:02d}": "rake spade hose" for number in range(30)}
    towns = {name: f"town{min(place, 20):02d}" for place, name in enumerate(users)}
    found = [name for name in by_name(leave_one_out(taken(users)), town=towns) if name.startswith("town=")]
    assert len(found) == 12
    assert "town=town20" in found
