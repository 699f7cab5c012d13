"""What was shown and what was answered, release by release."""

from datetime import timedelta
from pathlib import Path

import pytest

from llmrec.data import Store, import_records
from llmrec.evaluation import release_outcomes, stored_outcomes
from llmrec.records import Event, Item
from llmrec.releases import Release
from tests.evaluation.worlds import START


def shown(recommendation: str, *item_ids: str) -> list[Event]:
    return [Event("ann", item_id, "impression", recommendation_id=recommendation) for item_id in item_ids]


def did(kind: str, item_id: str, recommendation: str | None = "r1", value: float | None = None) -> Event:
    return Event("ann", item_id, kind, value, recommendation_id=recommendation)


def release_of(recommendation: str) -> str:
    return "rank/0002" if recommendation == "r2" else "rank/0001"


def test_clicks_and_satisfaction_of_each_release() -> None:
    log = [
        *shown("r1", "rake", "pan", "pot", "hose"),
        *shown("r2", "rake", "pan"),
        did("click", "rake"),
        did("purchase", "rake"),
        did("dislike", "pan"),
        did("click", "pan", "r2"),
        did("rating", "pan", "r2", 2.0),
        did("like", "rake", "r2"),
    ]
    found = release_outcomes(log, release_of)
    assert list(found) == ["rank/0001", "rank/0002"]
    first, second = found.values()
    assert (first.recommendations, first.impressions, first.clicks) == (1, 4, 1)
    assert (first.opinions, first.satisfied) == (2, 1)
    assert (second.impressions, second.clicks, second.opinions, second.satisfied) == (2, 2, 2, 1)
    assert first.click_through_rate.value == 0.25
    assert second.satisfaction.value == 0.5


def test_an_answer_to_what_was_not_shown_counts_nowhere() -> None:
    log = [*shown("r1", "rake"), did("like", "pan"), did("like", "rake", None), did("like", "rake", "r9")]
    (found,) = release_outcomes(log, release_of).values()
    assert (found.impressions, found.clicks, found.opinions) == (1, 0, 0)
    assert found.satisfaction.value is None


def test_an_item_shown_and_clicked_twice_counts_once() -> None:
    log = [*shown("r1", "rake", "rake", "pan"), did("click", "rake"), did("view", "rake")]
    (found,) = release_outcomes(log, release_of).values()
    assert (found.impressions, found.clicks) == (2, 1)


@pytest.mark.parametrize(("liked_from", "satisfied"), [(4.0, 0), (3.0, 1)])
def test_the_last_opinion_on_an_item_counts(liked_from: float, satisfied: int) -> None:
    log = [*shown("r1", "rake"), did("like", "rake"), did("rating", "rake", value=3.5)]
    (found,) = release_outcomes(log, release_of, liked_from=liked_from).values()
    assert (found.opinions, found.satisfied) == (1, satisfied)


def test_an_answer_that_arrives_before_its_impression_counts() -> None:
    (found,) = release_outcomes([did("click", "rake"), *shown("r1", "rake")], release_of).values()
    assert found.clicks == 1


def test_nothing_shown_is_no_release() -> None:
    assert release_outcomes([did("click", "rake")], release_of) == {}


def test_the_json_form_has_both_rates() -> None:
    (found,) = release_outcomes([*shown("r1", "rake", "pan"), did("like", "rake")], release_of).values()
    form = found.to_dict()
    assert form["click_through_rate"] == pytest.approx({"value": 0.5, "low": 0.0945, "high": 0.9055}, abs=1e-3)
    assert form["satisfaction"] == pytest.approx({"value": 1.0, "low": 0.2065, "high": 1.0}, abs=1e-3)
    assert form["impressions"] == 2


def test_stored_impressions_belong_to_the_newest_release_before_them(tmp_path: Path) -> None:
    made = [
        Release(f"rank/000{day}", tmp_path, {"created": (START + timedelta(days=day)).isoformat()}) for day in (2, 1)
    ]
    shown_on = {"r0": 0.5, "r1": 1.5, "r2": 2.5}
    log = [
        Event("ann", "rake", kind, timestamp=START + timedelta(days=day), recommendation_id=recommendation)
        for recommendation, day in shown_on.items()
        for kind in ("impression", "click")
    ]
    late = Event("ann", "rake", "like", timestamp=START + timedelta(days=9), recommendation_id="r1")
    with Store.open(f"sqlite:///{tmp_path / 'store.db'}") as store:
        import_records(store, items=[Item("rake", "Rake")], events=[*log, late, Event("ann", "rake")])
        found = stored_outcomes(store, made)
    assert list(found) == ["rank/0001", "rank/0002", "unknown"]
    assert all(outcome.clicks == outcome.impressions == 1 for outcome in found.values())
    assert [outcome.satisfied for outcome in found.values()] == [1, 0, 0]
