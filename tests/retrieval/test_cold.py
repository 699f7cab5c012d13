"""Without a history: what was said, who the user is, or what everybody takes; and always on the scale of a history."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from llmrec import Event, History, User
from llmrec.data import Store, import_records
from llmrec.records import AttributeValue
from llmrec.retrieval import (
    Catalogue,
    CatalogueKeeper,
    ColdStart,
    EncodedSpace,
    EncoderConfig,
    FittedEncoder,
    Popularity,
    Retriever,
    SequenceEncoder,
    Space,
    TextSpace,
    UserGroup,
    count_groups,
    groups,
    spaces,
)
from llmrec.retrieval.cold import wishes
from llmrec.retrieval.index import IndexedItems, ItemIndex
from llmrec.retrieval.sequences import EventVocabulary
from llmrec.testing import WordEncoder
from tests.conftest import shop_items

GARDEN = {"rake", "spade", "hose", "gloves"}
COUNTS = {"pan": 40, "pot": 30, "rake": 20, "spade": 10}


@pytest.fixture
def catalogue(tmp_path: Path) -> Catalogue:
    with Store.open(f"sqlite:///{tmp_path / 'shop.db'}") as store:
        import_records(store, items=shop_items())
        return CatalogueKeeper(store, WordEncoder(), tmp_path / "index").current()


def encoded(catalogue: Catalogue) -> EncodedSpace:
    config = EncoderConfig(dimension=8, layers=1, heads=2)
    model = SequenceEncoder(config, items=8, text_dimension=64, kinds=1).eval()
    return EncodedSpace(FittedEncoder(model, EventVocabulary(("view",)), tuple(catalogue.items)), catalogue)


def retriever(
    catalogue: Catalogue,
    space: Space,
    *known: UserGroup,
    counts: dict[str, int] = COUNTS,
    context: dict[str, AttributeValue] | None = None,
) -> Retriever:
    cold = ColdStart(catalogue, space, Popularity(counts, known), WordEncoder(), half_life=1.0)
    return Retriever(catalogue, space, cold, context or {})


def said(*texts: str, kind: str = "search") -> History:
    return History(events=tuple(Event("u", kind=kind, text=text) for text in texts))


def first(found: Retriever, history: History, k: int = 4) -> list[str]:
    return [one.item.item_id for one in found.retrieve(history, k).candidates]


def takers(user_ids: Sequence[str], item_id: str) -> list[list[Event]]:
    return [[Event(user_id, item_id)] for user_id in user_ids]


@pytest.mark.parametrize("make", [encoded, lambda catalogue: TextSpace(catalogue, 1.0)], ids=["encoded", "text"])
def test_a_search_finds_what_it_means_although_other_things_are_popular(catalogue: Catalogue, make) -> None:  # type: ignore[no-untyped-def]
    asked = retriever(catalogue, make(catalogue), counts={"pan": 4, "pot": 2})
    assert asked.retrieve(History(), 2).path == "popularity"
    assert first(asked, History(), 2) == ["pan", "pot"]
    found = asked.retrieve(said("garden hose"), 8)
    assert found.path == "words"
    assert found.candidates[0].item.item_id == "hose"
    assert {one.item.item_id for one in found.candidates[:4]} == GARDEN


def test_among_items_that_fit_the_words_alike_the_popular_one_comes_first(catalogue: Catalogue) -> None:
    for popular in ("gloves", "spade"):
        asked = retriever(catalogue, encoded(catalogue), counts={popular: 100})
        assert first(asked, said("garden"), 1) == [popular]


def test_the_newest_words_count_most_and_refusals_not_at_all(catalogue: Catalogue) -> None:
    asked = retriever(catalogue, TextSpace(catalogue, 1.0), counts={})
    assert first(asked, said("soup pot", "garden hose"), 1) == ["hose"]
    assert first(asked, said("garden hose", "soup pot"), 1) == ["pot"]
    assert asked.retrieve(said("garden hose", kind="dislike"), 1).path == "popularity"
    assert asked.retrieve(said("   "), 1).path == "popularity"


def test_the_situation_in_words_counts_as_said_just_now(catalogue: Catalogue) -> None:
    space = TextSpace(catalogue, 1.0)
    asked = retriever(catalogue, space, counts={}, context={"wish": "garden hose", "hour": 14, "gift": True})
    assert asked.retrieve(History(), 1).path == "words"
    assert first(asked, said("soup pot"), 1) == ["hose"]
    assert retriever(catalogue, space, context={"hour": 14}).retrieve(History(), 1).path == "popularity"
    history = said("old", "new")
    words, events = wishes(history, {"season": "winter", "hour": 14})
    assert words == ["season: winter", "new", "old"]
    assert events == list(reversed(history.events))


def test_with_behaviour_words_and_attributes_change_no_candidate(catalogue: Catalogue) -> None:
    took = History(User("u", {"age": "young"}), events=(Event("u", "pan"),))
    told = History(took.user, events=(*took.events, Event("u", kind="search", text="garden hose")))
    young = UserGroup("age", "young", 20, 100, {"hose": 100})
    plain = retriever(catalogue, TextSpace(catalogue, 1.0)).retrieve(took, 8)
    asked = retriever(catalogue, TextSpace(catalogue, 1.0), young, context={"wish": "garden"})
    assert asked.retrieve(told, 8) == plain
    assert plain.path == "history"


def test_a_newcomer_is_offered_what_people_like_them_take(catalogue: Catalogue) -> None:
    young = UserGroup("age", "young", 20, 2_000, {"hose": 1_500, "pan": 500})
    asked = retriever(catalogue, encoded(catalogue), young)
    found = asked.retrieve(History(User("u", {"age": "Young"})), 8)
    assert found.path == "attributes"
    assert [one.item.item_id for one in found.candidates[:2]] == ["hose", "pan"]
    assert asked.retrieve(History(User("u", {"age": "old"})), 8).path == "popularity"
    assert asked.retrieve(History(User("u", {"age": "young"}), events=said("soup").events), 8).path == "words"


def test_a_groups_shares_are_smoothed_by_a_thousand_events_of_everybody(catalogue: Catalogue) -> None:
    young = UserGroup("age", "young", 20, 500, {"hose": 300, "pan": 150})  # and 50 on items that are not named
    asked = retriever(catalogue, encoded(catalogue), young)
    newcomer = History(User("u", {"age": "young"}))
    shares = {one.item.item_id: np.exp(one.score) for one in asked.retrieve(newcomer, 8).candidates}
    everybody = {item.item_id: (COUNTS.get(item.item_id, 0) + 1) / 108 for item in shop_items()}
    assert shares["hose"] == pytest.approx((300 + 1_000 * everybody["hose"]) / 1_500)
    assert shares["pan"] == pytest.approx((150 + 1_000 * everybody["pan"]) / 1_500)
    left = 1 - everybody["hose"] - everybody["pan"]
    assert shares["pot"] == pytest.approx(everybody["pot"] * (1_000 + 50 / left) / 1_500)
    assert sum(shares.values()) == pytest.approx(1.0)


def test_several_attributes_count_alike(catalogue: Catalogue) -> None:
    known = (UserGroup("age", "young", 20, 500, {"hose": 500}), UserGroup("place", "oslo", 20, 9_000, {"rake": 9_000}))
    asked = retriever(catalogue, encoded(catalogue), *known)
    each = []
    for attributes in ({"age": "young"}, {"place": "Oslo"}, {"age": "young", "place": "Oslo"}):
        found = asked.score(History(User("u", attributes)), list(catalogue.items)).candidates
        each.append(np.exp([one.score for one in found]))
    np.testing.assert_allclose((each[0] + each[1]) / 2, each[2], rtol=1e-9)


@pytest.mark.parametrize("history", [History(), said("garden hose"), History(User("u", {"age": "young"}))])
def test_scores_are_log_chances_of_the_whole_catalogue_as_with_a_history(
    catalogue: Catalogue, history: History
) -> None:
    asked = retriever(catalogue, encoded(catalogue), UserGroup("age", "young", 20, 500, {"hose": 300}))
    for known in (history, History(events=(Event("u", "pan"),))):
        found = asked.retrieve(known, 8).candidates
        assert sum(np.exp(one.score) for one in found) == pytest.approx(1.0, abs=1e-5)
        again = asked.score(known, [one.item.item_id for one in found]).candidates
        assert [one.score for one in again] == pytest.approx([one.score for one in found], abs=1e-6)


def test_conditions_and_exclusions_hold_on_every_path(catalogue: Catalogue) -> None:
    asked = retriever(catalogue, encoded(catalogue), UserGroup("age", "young", 20, 500, {"hose": 300}))
    for history in (History(), said("garden hose"), History(User("u", {"age": "young"}))):
        found = asked.retrieve(history, 8, among=["hose", "pan", "pot"], excluded={"pot", "gone"})
        assert {one.item.item_id for one in found.candidates} == {"hose", "pan"}


def test_groups_are_counted_where_they_are_large_enough() -> None:
    old, young = [f"o{number}" for number in range(10)], [f"y{number}" for number in range(9)]
    attributes = {user_id: {"age": "old", "tags": ("Shop", "home")} for user_id in old}
    attributes |= {user_id: {"age": "young", "tags": ("shop",)} for user_id in young}
    behaviour = takers(old, "rake") + takers(young, "pan") + takers(["unknown"], "pot")
    found = {(group.name, group.value): group for group in count_groups(behaviour, attributes)}
    assert found.keys() == {("age", "old"), ("tags", "shop"), ("tags", "home")}
    assert found["tags", "shop"] == UserGroup("tags", "shop", 19, 19, {"rake": 10, "pan": 9})


def test_who_took_nothing_makes_no_group_larger() -> None:
    attributes = {f"u{number}": {"age": 30} for number in range(10)}
    assert count_groups(takers([f"u{number}" for number in range(9)], "pan"), attributes) == []


def test_only_what_a_group_takes_most_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(groups, "_TOP", 1)
    users = [f"u{number}" for number in range(12)]
    behaviour = takers(users, "pan") + takers(users[:3], "pot")
    (group,) = count_groups(behaviour, {user_id: {"age": 30} for user_id in users})
    assert (group.events, group.items) == (15, {"pan": 12})


@pytest.mark.parametrize("make", [encoded, lambda catalogue: TextSpace(catalogue, 1.0)], ids=["encoded", "text"])
@pytest.mark.parametrize(
    "history", [History(), said("something for the garden"), History(events=(Event("u", "rake"),))], ids=str
)
def test_with_and_without_a_history_scores_are_log_chances(catalogue: Catalogue, make, history: History) -> None:  # type: ignore[no-untyped-def]
    space = make(catalogue)
    scores = [one.score for one in retriever(catalogue, space).score(history, list(catalogue.items)).candidates]
    chances = np.exp(np.array(scores) * space.prior_weight)
    assert chances.sum() == pytest.approx(1.0, abs=1e-3)


def test_of_very_many_items_the_denominator_is_estimated(monkeypatch: pytest.MonkeyPatch) -> None:
    generator = np.random.default_rng(0)
    vectors = generator.normal(size=(3_000, 8)).astype(np.float32)
    ids = tuple(f"i{row}" for row in range(len(vectors)))
    index = ItemIndex(vectors, IndexedItems("", ids, ("",) * len(ids)))
    queries = generator.normal(size=(20, 8)).astype(np.float32)
    exact = [spaces._log_denominator(index, query) for query in queries]
    for name, value in {"FLAT_LIMIT": 100, "_NEAREST": 100, "_SAMPLE": 500}.items():
        monkeypatch.setattr(spaces, name, value)
    estimated = [spaces._log_denominator(index, query) for query in queries]
    assert exact != estimated
    np.testing.assert_allclose(estimated, exact, atol=0.1)
