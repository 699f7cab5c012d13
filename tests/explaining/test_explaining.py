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
    return gather(ITEMS["rake"], events=events, drops=drops, parts={"retrieval": 3.0, "llm": -0.5}, items=ITEMS)


def words(*drops: float, **given: object) -> str:
    library = PromptLibrary()
    options = {"named": 3, "path": "history", "popular": True, **given}
    return word(ITEMS["rake"], evidence(*drops), lambda **values: library.text("why", "why", **values), **options)  # type: ignore[arg-type]


def test_evidence_is_strongest_first_within_its_kind() -> None:
    found = evidence(0.5, -0.9)
    assert [one.kind for one in found] == ["event", "event", "part", "part", "attribute", "attribute"]
    assert [one.strength for one in found][:2] == [-0.9, 0.5]


def test_shared_attributes_are_those_of_the_causes() -> None:
    shared = {one.text for one in evidence(0.5, -0.9) if one.kind == "attribute"}
    assert shared == {"room: garden", "tags: steel"}
    assert not [one for one in evidence(-0.5, 0.9) if one.kind == "attribute"]


def test_the_text_names_causes_and_what_spoke_against() -> None:
    text = words(0.5, -0.9)
    assert "because you bought Spade." in text
    assert "spoke against it: you gave Pan a rating of 2." in text
    assert "+3.00" in text
    assert "-0.50" in text


def test_when_nothing_mattered_it_says_so() -> None:
    assert "does not rest on any single thing" in words(0.001, -0.001)


def test_a_cold_user_is_told_the_truth() -> None:
    assert "popular" in words(0.0, 0.0, path="popularity")
    assert "popular" not in words(0.0, 0.0, path="popularity", popular=False)


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
