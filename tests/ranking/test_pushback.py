"""What a user turned down pushes away what is like it: bounded, fading, taken back by a like."""

from datetime import UTC, datetime, timedelta

import numpy as np
import pytest

from llmrec import Event, History
from llmrec.ranking import Pushback
from llmrec.retrieval.index import IndexedItems, ItemIndex

NOW = datetime(2026, 1, 1, tzinfo=UTC)
IDS = ("rake", "spade", "pan", "odd")


@pytest.fixture
def pushback() -> Pushback:
    """Rake and spade are alike, a pan is not, and an odd thing is the opposite of a rake."""
    vectors = np.array([[1, 0, 0], [0.8, 0.6, 0], [0, 0, 1], [-1, 0, 0]], np.float32)
    return Pushback(ItemIndex(vectors, IndexedItems("", IDS, ("",) * 4)), most=2.0, half_life=30.0, now=NOW)


def turned_down(item_id: str = "rake", kind: str = "dislike", days: float | None = 0.0) -> Event:
    return Event("ann", item_id, kind, timestamp=None if days is None else NOW - timedelta(days=days))


def pushed(pushback: Pushback, *events: Event) -> dict[str, float]:
    return dict(zip(IDS, pushback.scores(History(events=events), IDS).tolist(), strict=True))


def test_what_is_like_it_falls_the_more_the_more_it_is_like_it(pushback: Pushback) -> None:
    found = pushed(pushback, turned_down())
    usual = 0.8 / 4  # of the rake with the four items
    assert found == {
        "rake": pytest.approx(-2.0),
        "spade": pytest.approx(-2.0 * (0.8 - usual) / (1 - usual), rel=1e-5),
        "pan": 0.0,
        "odd": 0.0,
    }


def test_it_never_exceeds_its_bound_and_lifts_nothing(pushback: Pushback) -> None:
    found = pushed(pushback, *(turned_down(item_id) for item_id in IDS for _ in range(5)))
    assert all(-2.0 <= score <= 0 for score in found.values())
    assert found["spade"] == -2.0


@pytest.mark.parametrize(("days", "share"), [(30, 0.5), (60, 0.25), (-1, 1.0)])
def test_it_fades_with_time(pushback: Pushback, days: float, share: float) -> None:
    assert pushed(pushback, turned_down(days=days))["rake"] == pytest.approx(-2.0 * share)


def test_without_a_time_it_fades_with_what_came_later(pushback: Pushback) -> None:
    later = [Event("ann", "pan", "view") for _ in range(20)]
    assert pushed(pushback, turned_down(days=None), *later)["rake"] == pytest.approx(-1.0)


def test_the_last_word_counts(pushback: Pushback) -> None:
    assert not any(pushed(pushback, turned_down(), Event("ann", "rake", "like")).values())
    again = pushed(pushback, turned_down(), Event("ann", "rake", "like"), turned_down())
    assert again["rake"] == pytest.approx(-2.0)
    assert pushed(pushback, turned_down(), turned_down())["spade"] == pushed(pushback, turned_down())["spade"]


def test_to_skip_is_less_than_to_dislike(pushback: Pushback) -> None:
    assert pushed(pushback, turned_down(kind="skip"))["rake"] == pytest.approx(-0.5)
    assert pushed(pushback, turned_down(kind="hide"))["rake"] == pytest.approx(-2.0)


def test_what_left_the_catalogue_and_what_was_taken_push_nothing(pushback: Pushback) -> None:
    assert not any(pushed(pushback, turned_down("gone"), Event("ann", "rake", "view")).values())
    assert pushback.scores(History(events=(turned_down(),)), []).tolist() == []
