"""What was shown and chosen becomes lists to learn from; nothing that came later, and nobody who does not want it."""

from __future__ import annotations

import math
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from llmrec import Event, Recommender, User
from llmrec.config import Settings
from llmrec.learning.crossfit import cross_fit
from llmrec.learning.scrubbing import scrubber
from llmrec.learning.transcripts import POSITION_BIAS, Quotas, transcripts, within
from llmrec.ranking import HeldOutRequest
from llmrec.records import Recommendation
from tests.learning.test_retraining import fit_of


def lists_of(rec: Recommender, **given: Any) -> list[HeldOutRequest]:
    items = {item.item_id: item for item in rec.items()}
    snapshot = given.pop("snapshot", rec.store.last_sequence())
    return list(transcripts(rec.store, items, snapshot=snapshot, longest=50, **given))


def shown(rec: Recommender, user_id: str = "ann", n: int = 5) -> Recommendation:
    return rec.recommend(user_id, n, llm=False, filter_seen=False)


def answer(rec: Recommender, to: Recommendation, place: int, kind: str = "click", **given: object) -> str:
    item_id = to.items[place].item.item_id
    rec.feedback(Event(str(to.user_id), item_id, kind, recommendation_id=to.id, **given))  # type: ignore[arg-type]
    return item_id


def ids(request: HeldOutRequest) -> list[str]:
    return [one.item.item_id for one in request.candidates]


def test_what_was_chosen_is_set_against_what_was_looked_at_and_passed_over(shop: Recommender) -> None:
    to = shown(shop)
    chosen = answer(shop, to, 2)
    (request,) = lists_of(shop)
    looked_at = [one.item.item_id for one in to.items[:4]]  # down to one below
    assert ids(request) == looked_at
    assert request.candidates[request.taken or 0].item.item_id == chosen
    for place, candidate in enumerate(request.candidates):
        parts = {name: value for name, value in to.items[place].parts.items() if name != "llm"}
        assert candidate.score == pytest.approx(sum(parts.values()) - POSITION_BIAS * math.log(place + 1))


def test_two_choices_are_two_lists_and_neither_is_passed_over_in_the_other(shop: Recommender) -> None:
    to = shown(shop)
    first, second = answer(shop, to, 1), answer(shop, to, 3)
    by_choice = {ids(one)[one.taken or 0]: ids(one) for one in lists_of(shop)}
    assert set(by_choice) == {first, second}
    assert second not in by_choice[first]
    assert first not in by_choice[second]


def test_the_history_is_the_one_the_list_was_made_from(shop: Recommender) -> None:
    before = shop.history("ann").events
    to = shown(shop)
    answer(shop, to, 0)
    # Came later, though it says it happened earlier.
    shop.feedback(Event("ann", "board", "view", timestamp=datetime.now(UTC) - timedelta(days=900)))
    (request,) = lists_of(shop)
    assert request.before.events == before


@pytest.mark.parametrize(
    ("kind", "given", "lists"),
    [
        ("dislike", {}, 0),
        ("skip", {}, 0),
        ("rating", {"value": 2.0}, 0),
        ("rating", {"value": 5.0}, 1),
        ("like", {}, 1),
    ],
)
def test_only_choices_teach(shop: Recommender, kind: str, given: dict[str, float], lists: int) -> None:
    answer(shop, shown(shop), 1, kind, **given)
    assert len(lists_of(shop)) == lists


def test_what_was_turned_down_counts_as_looked_at(shop: Recommender) -> None:
    to = shown(shop)
    answer(shop, to, 0)
    assert len(ids(lists_of(shop)[0])) == 2
    answer(shop, to, 3, "dislike")
    (request,) = lists_of(shop)
    assert ids(request) == [one.item.item_id for one in to.items]


def test_events_that_answer_no_list_teach_nothing_here(shop: Recommender) -> None:
    shown(shop)
    shop.feedback(Event("ann", "pan", "click"))
    shop.feedback(Event("ann", "pan", "like", recommendation_id="of another system"))
    assert not lists_of(shop)


def test_a_watermark_and_a_snapshot_bound_what_is_read(shop: Recommender) -> None:
    chosen = answer(shop, shown(shop), 1)
    watermark = shop.store.last_sequence()
    second = shown(shop)
    answer(shop, second, next(place for place, one in enumerate(second.items) if one.item.item_id != chosen))
    assert len(lists_of(shop)) == 2
    assert len(lists_of(shop, since=watermark)) == 1
    assert len(lists_of(shop, snapshot=watermark)) == 1


def test_the_same_choice_again_is_one_list(shop: Recommender) -> None:
    first = shown(shop)
    chosen = answer(shop, first, 1)
    second = shown(shop)
    place = [one.item.item_id for one in second.items].index(chosen)
    answer(shop, second, place, "like")
    assert len(lists_of(shop)) == 1


def test_who_does_not_want_it_is_not_learnt_from(shop: Recommender) -> None:
    for user_id in ("ann", "bob"):
        answer(shop, shown(shop, user_id), 1)
    shop.add_users([User("ann", {"age": 31, "learning": False})])
    assert {str(one.before.user and one.before.user.user_id) for one in lists_of(shop)} == {"bob"}
    fit = fit_of(shop)
    assert "ann" not in {events[0].user_id for events in fit._behaviour(fit.snapshot())}
    lists = cross_fit(fit, fit.retriever(fit.snapshot(), None), fit.snapshot(), 5, 1_000)
    assert "ann" not in {str(one.before.user and one.before.user.user_id) for one in lists.requests}
    ranker = shop._parts.ranker()
    said = ranker.shared(shop.history("ann"), {item.item_id: item for item in shop.items()}).ids
    shop.add_users([User("ann", {"age": 31})])
    assert ranker.shared(shop.history("ann"), {item.item_id: item for item in shop.items()}).ids == said


def test_free_text_is_not_learnt_from(shop: Recommender) -> None:
    shop.feedback(Event("ann", kind="search", text="my address is 5 Elm Street"))
    shop.feedback(Event("ann", "pan", "comment", text="I live in Oslo"))
    answer(shop, shown(shop), 1)
    (request,) = lists_of(shop)
    assert all(event.text is None for event in request.before.events)
    fit = fit_of(shop)
    lists = cross_fit(fit, fit.retriever(fit.snapshot(), None), fit.snapshot(), 5, 1_000)
    assert lists.requests
    assert all(event.text is None for one in lists.requests for event in one.before.events)


def test_what_was_taken_is_learnt_from_without_what_was_written_about_it(shop: Recommender) -> None:
    shop.feedback(Event("ann", "pan", "rating", value=5, text="my best one, ask ann@example.com"))
    answer(shop, shown(shop), 1)
    (request,) = lists_of(shop)
    (rated,) = [event for event in request.before.events if event.kind == "rating"]
    assert (rated.item_id, rated.value, rated.text) == ("pan", 5, None)


def test_where_it_is_switched_on_the_user_s_own_words_are_told_without_personal_data(shop: Recommender) -> None:
    shop.add_users([User("ann", {"age": 31, "reach": "ann@example.com", "seen": ("2001: A Space Odyssey",)})])
    shop.feedback(Event("ann", "pan", "comment", text="too heavy, call 0171 1234567"))
    shop.feedback(Event("ann", kind="search", text="something like 1984"))
    shop.feedback(Event("bob", "pot", "comment", text="bob was here"))
    answer(shop, shown(shop), 1)
    (request,) = lists_of(shop, scrub=scrubber())
    told = [event.text for event in request.before.events if event.text]
    assert told == ["too heavy, call <PHONE_NUMBER>", "something like 1984"]
    ranker, items = shop._parts.ranker(), {item.item_id: item for item in shop.items()}
    prompt = ranker.model.text(ranker.shared(request.before, items).ids)
    assert "said about frying pan : too heavy , call < phone_number >" in prompt
    assert "reach : < email_address >" in prompt
    assert "2001 : a space odyssey" in prompt
    assert not any(word in prompt for word in ("1234567", "ann @", "bob"))
    later = [datetime.now(UTC) + timedelta(minutes=minute) for minute in (1, 2)]
    some = list(zip(("board", "gloves"), later, strict=True))
    shop.add_events(Event(user_id, item, timestamp=when) for item, when in some for user_id in ("ann", "bob"))
    fit = replace(fit_of(shop), settings=Settings.model_validate({"learning": {"free_text": True}}))
    lists = cross_fit(fit, fit.retriever(fit.snapshot(), None), fit.snapshot(), 5, 1_000)
    said = {(event.user_id, event.text) for one in lists.requests for event in one.before.events if event.text}
    assert said == {*(("ann", text) for text in told), ("bob", "bob was here")}
    for one in lists.requests:
        assert {event.user_id for event in one.before.events} == {str(one.before.user and one.before.user.user_id)}


def test_quotas_keep_the_newest_and_let_nobody_fill_the_set(shop: Recommender) -> None:
    requests = []
    for user_id in ("ann", "bob", "cem", "dia"):
        for place in (0, 1, 2):
            to = shown(shop, user_id, 8)
            answer(shop, to, place)
    requests = lists_of(shop)
    kept = within(Quotas(per_user=2, per_item=1.0), requests)
    per_user: dict[str, int] = {}
    for one in kept:
        user_id = str(one.before.user and one.before.user.user_id)
        per_user[user_id] = per_user.get(user_id, 0) + 1
    assert set(per_user.values()) <= {1, 2}
    assert kept == [one for one in requests if one in kept]
    one_item = within(Quotas(per_user=50, per_item=0.01, least=1), requests)
    chosen = [ids(one)[one.taken or 0] for one in one_item]
    assert len(chosen) == len(set(chosen))


def test_a_choice_that_is_hidden_or_learnt_before_was_not_passed_over(shop: Recommender) -> None:
    to = shown(shop)
    first, second = answer(shop, to, 1), answer(shop, to, 3)
    events = {str(event.item_id): event.sequence for event in shop.store.events("ann") if event.recommendation_id}
    for given, left in (({"hidden": frozenset({events[second]})}, first), ({"since": events[first]}, second)):
        (request,) = lists_of(shop, **given)
        assert ids(request)[request.taken or 0] == left
        assert not {first, second} - {left} & set(ids(request))


def test_what_is_hidden_is_in_no_history_either(shop: Recommender) -> None:
    withheld = shop.feedback(Event("ann", "pan", "view"))
    chosen = answer(shop, shown(shop), 1)
    (request,) = lists_of(shop, hidden=frozenset({withheld.sequence}))
    assert ids(request)[request.taken or 0] == chosen
    assert withheld not in request.before.events
    assert withheld in lists_of(shop)[0].before.events
