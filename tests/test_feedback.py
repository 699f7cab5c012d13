"""Feedback acts on the next request, on that of its user alone."""

from datetime import UTC, datetime, timedelta

import pytest

from llmrec import Event, Recommender


def scores(rec: Recommender, user_id: str, **given: object) -> dict[str, float]:
    answer = rec.recommend(user_id, 8, llm=False, filter_seen=False, **given)  # type: ignore[arg-type]
    return {one.item.item_id: one.score for one in answer.items}


def test_a_dislike_pushes_away_what_is_like_it_and_no_one_elses_list_changes(shop: Recommender) -> None:
    before, others = scores(shop, "ann"), scores(shop, "bob")
    shop.feedback(Event("ann", "spade", "dislike"))
    answer = shop.recommend("ann", 8, llm=False, filter_seen=False)
    parts = {one.item.item_id: dict(one.parts) for one in answer.items}
    assert parts["spade"]["feedback"] < parts["hose"]["feedback"] < 0  # both are garden things
    assert "feedback" not in parts["pan"]
    for one in answer.items:
        assert one.score == pytest.approx(sum(one.parts.values()))
    assert scores(shop, "ann")["spade"] < before["spade"]
    assert scores(shop, "bob") == others


def test_what_is_hidden_stays_away_until_it_is_wanted_again(shop: Recommender) -> None:
    shop.feedback(Event("ann", "pan", "hide"))
    assert "pan" not in scores(shop, "ann")
    assert "pan" not in scores(shop, "ann", where={"room": "kitchen"})
    for _ in range(3):
        shop.feedback(Event("ann", "pot", "view"))
        assert "pan" not in scores(shop, "ann")
    shop.feedback(Event("ann", "pan", "unhide"))
    assert "pan" in scores(shop, "ann")
    assert shop.history("ann").hidden == frozenset()


def test_hidden_things_are_remembered_behind_a_long_history(shop: Recommender) -> None:
    limit = shop.settings.retrieval.history_events
    start = datetime(2025, 1, 1, tzinfo=UTC)
    shop.feedback(Event("ann", "pan", "hide", timestamp=start))
    shop.add_events(
        [Event("ann", "pot", "view", timestamp=start + timedelta(hours=place + 1)) for place in range(limit)]
    )
    assert all(event.kind == "view" for event in shop.history("ann").events)
    assert "pan" not in scores(shop, "ann")


def test_the_explanation_names_what_was_turned_down(shop: Recommender) -> None:
    shop.feedback(Event("ann", "spade", "dislike"))
    why = shop.explain("ann", "hose")
    against = next(one for one in why.evidence if one.kind == "event" and "did not like" in one.text)
    assert against.strength < 0
    part = next(one for one in why.evidence if one.kind == "part" and one.text == "feedback")
    assert part.strength < 0
    assert "what you turned down" in why.text
