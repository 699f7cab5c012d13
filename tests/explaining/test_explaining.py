"""Evidence is counted, not invented, and the words come from it alone."""

import pytest

from llmrec import Event, Evidence, Item, Recommender
from llmrec.explaining import gather, word
from llmrec.ranking import PromptLibrary

ITEMS = {
    "rake": Item("rake", "Leaf rake", attributes={"room": "garden", "tags": ("wood", "steel")}),
    "spade": Item("spade", "Spade", attributes={"room": "garden", "tags": ("steel",)}),
    "pan": Item("pan", "Pan", attributes={"room": "kitchen"}),
}


def evidence(*drops: float) -> tuple[Evidence, ...]:
    events = [Event("u", "spade", "purchase"), Event("u", "pan", "rating", value=2.0)]
    parts = {"retrieval": 3.0, "llm": -0.5}
    return gather(ITEMS["rake"], events=events, drops=drops, parts=parts, items=ITEMS, named=3)


def words(*drops: float, **given: object) -> str:
    library = PromptLibrary()
    options = {"named": 3, "path": "history", "popular": 1.0, "known": 2, **given}
    return word(ITEMS["rake"], evidence(*drops), lambda **values: library.text("why", "why", **values), **options)  # type: ignore[arg-type]


def test_evidence_is_strongest_first_within_its_kind() -> None:
    found = evidence(0.5, -0.9)
    assert [one.kind for one in found] == [
        "event", "event", "part", "part", "attribute", "attribute", "change",
    ]  # fmt: skip
    assert [one.strength for one in found][:2] == [-0.9, 0.5]


def test_shared_attributes_are_those_of_the_causes() -> None:
    shared = {one.text for one in evidence(0.5, -0.9) if one.kind == "attribute"}
    assert shared == {"room: garden", "tags: steel"}
    assert not [one for one in evidence(-0.5, 0.9) if one.kind == "attribute"]


def test_attributes_are_shared_with_the_causes_that_are_named() -> None:
    events = [Event("u", "pan", "purchase"), Event("u", "spade", "purchase")]

    def shared(named: int, *drops: float) -> list[str]:
        found = gather(ITEMS["rake"], events=events, drops=drops, parts={}, items=ITEMS, named=named)
        return [one.text for one in found if one.kind == "attribute"]

    assert shared(1, 2.0, 1.0) == []  # the spade is no cause that is told
    assert shared(2, 2.0, 1.0) == ["room: garden", "tags: steel"]
    assert shared(2, 2.0, 0.1) == []  # it is too weak to be told


def test_the_change_is_the_event_without_which_the_score_would_be_highest() -> None:
    (change,) = (one for one in evidence(0.5, -0.9) if one.kind == "change")
    against = min(evidence(0.5, -0.9), key=lambda one: one.strength)
    assert (change.strength, change.text) == (0.9, against.text)
    assert f"Had it not been that you {change.text}, its score would be 0.90 higher." in words(0.5, -0.9)
    assert not [one for one in evidence(0.5, 0.9) if one.kind == "change"]
    assert "Had it not been" not in words(0.5, 0.9)


def test_evidence_knows_its_event() -> None:
    event = Event("u", "pan", "purchase", event_id="e1")
    (found,) = gather(ITEMS["rake"], events=[event], drops=[0.5], parts={}, items=ITEMS, named=1)
    assert found.event_id == "e1"
    assert "event_id" not in found.to_dict()


def test_the_text_names_causes_and_what_spoke_against() -> None:
    text = words(0.5, -0.9)
    assert "because you bought Spade." in text
    assert "spoke against it: you gave Pan a rating of 2." in text
    assert "+3.00" in text
    assert "-0.50" in text


def test_what_is_minor_beside_the_strongest_is_not_named() -> None:
    text = words(2.0, 0.1)
    assert "Spade" in text
    assert "Pan" not in text


def test_when_nothing_mattered_it_says_so() -> None:
    assert "does not rest on any single thing" in words(0.001, -0.001)


def test_where_something_spoke_against_it_alone_that_is_not_called_nothing() -> None:
    text = words(0.001, -0.9)
    assert "hardly changes" not in text
    assert "nothing you did lifts its score" in text
    assert "its score would be 0.90 higher" in text


def test_a_user_of_whom_nothing_is_known_is_told_so() -> None:
    text = words(0.0, 0.0, path="popularity", known=0, popular=1.0)
    assert "without a history: it is popular" in text
    assert "+3.00 come from how many others took it" in text
    assert "what you took before" not in text


def test_a_user_who_only_searched_or_refused_things_is_not_told_that_nothing_is_known() -> None:
    text = words(0.0, 0.0, path="popularity", known=2, popular=1.0)
    assert "nothing you did says which items you want" in text
    assert "without a history" not in text
    assert "what you took before" not in text


def test_an_item_that_few_others_took_is_not_called_popular() -> None:
    for known in (0, 2):
        text = words(0.0, 0.0, path="popularity", known=known, popular=0.63)
        assert "popular" not in text
        assert "part of the catalogue" in text


def test_with_a_history_the_score_comes_from_what_was_taken() -> None:
    text = words(0.0, 0.0, path="history", known=2)
    assert "+3.00 come from what you took before" in text
    assert "others took" not in text
    assert "without" not in text


@pytest.mark.parametrize(
    ("event", "said"),
    [
        (Event("u", "pan", "rating", value=3.5), "gave Pan a rating of 3.5"),
        (Event("u", "pan", "like"), "liked Pan"),
        (Event("u", "pan", "dislike"), "did not like Pan"),
        (Event("u", "pan", "hide"), "hid Pan"),
        (Event("u", "pan", "purchase"), "bought Pan"),
        (Event("u", "pan", "click"), "looked closer at Pan"),
        (Event("u", "pan", "view", value=90), "took Pan"),
        (Event("u", "pan", "lent"), "had “lent” with Pan"),
        (Event("u", kind="search", text="{title} & <b>"), "searched for “{title} & <b>”"),
        (Event("u", "pan", "comment", text="heavy"), "said “heavy” about Pan"),
        (Event("u", kind="comment", text="heavy"), "said “heavy”"),
        (Event("u", "pan", "comment"), "had “comment” with Pan"),
        (Event("u", kind="wish", text="a wok"), "said “a wok”"),
    ],
)
def test_an_event_is_put_into_words(event: Event, said: str) -> None:
    (found,) = gather(ITEMS["rake"], events=[event], drops=[0.5], parts={}, items=ITEMS, named=3)[:1]
    assert found.text == said


def test_the_words_for_events_can_be_others() -> None:
    found = gather(
        ITEMS["rake"],
        events=[Event("u", "pan", "rating", value=2)],
        drops=[0.5],
        parts={},
        items=ITEMS,
        named=3,
        render=lambda **values: f" {values['kind']}: {values['title']} {values['value']}{values['text']}\n",
    )
    assert found[0].text == "rating: Pan 2"


def test_a_named_event_really_lowers_the_score_when_it_is_gone(shop: Recommender) -> None:
    """Through the public API only: rank with the history, and with it less the event that is named first."""
    explanation = shop.explain("cem", "rake")
    history = list(shop.store.events("cem"))
    (whole,) = shop.rank(history, ["rake"], user_id="cem")
    causes = [one for one in explanation.evidence if one.kind == "event"]
    assert len(causes) == 3
    for one in causes:
        (without,) = shop.rank([event for event in history if event.item_id != one.item_id], ["rake"], user_id="cem")
        assert whole.score - without.score == pytest.approx(one.strength, abs=1e-4)
    assert causes[0].strength > 0.02
    assert causes[0].text in explanation.text


def test_nobody_is_told_that_their_past_counted(shop: Recommender) -> None:
    text = shop.explain("nobody", "pan").text
    assert "without a history" in text
    assert "what you took before" not in text


def test_nothing_is_said_of_a_score_without_the_only_event() -> None:
    alone = gather(ITEMS["rake"], events=[Event("u", "pan", "purchase")], drops=[-0.9], parts={}, items=ITEMS, named=3)
    assert [one.kind for one in alone] == ["event"]
