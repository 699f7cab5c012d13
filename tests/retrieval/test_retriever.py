"""From a history to candidates, with a stated way for those who have none."""

from pathlib import Path

import numpy as np
import pytest

from llmrec import Event, History
from llmrec.data import Store, import_records
from llmrec.retrieval import Catalogue, CatalogueKeeper, ColdStart, Popularity, Retriever, TextSpace
from llmrec.testing import WordEncoder
from tests.conftest import shop_items


@pytest.fixture
def catalogue(tmp_path: Path) -> Catalogue:
    with Store.open(f"sqlite:///{tmp_path / 'shop.db'}") as store:
        import_records(store, items=shop_items())
        return CatalogueKeeper(store, WordEncoder(), tmp_path / "index").current()


def history(*item_ids: str, kind: str = "view") -> History:
    return History(events=tuple(Event("u", item_id, kind) for item_id in item_ids))


def retriever(catalogue: Catalogue, **counts: int) -> Retriever:
    space = TextSpace(catalogue, half_life=2.0)
    return Retriever(catalogue, space, ColdStart(catalogue, space, Popularity(counts), WordEncoder(), 2.0))


def test_a_gardener_is_offered_garden_things(catalogue: Catalogue) -> None:
    found = retriever(catalogue).retrieve(history("spade", "hose"), 2, excluded={"spade", "hose"})
    assert {candidate.item.item_id for candidate in found.candidates} == {"rake", "gloves"}
    assert found.path == "history"
    assert found.candidates[0].score >= found.candidates[1].score


def test_the_query_is_the_decayed_mean(catalogue: Catalogue) -> None:
    query = retriever(catalogue).space.query(history("pan", "spade"))
    pan, spade = catalogue.index.vectors_of(["pan", "spade"])
    mean = spade + pan * 0.5**0.5
    assert query is not None
    np.testing.assert_allclose(query.vector, mean / np.linalg.norm(mean), rtol=1e-5)


def test_what_was_not_wanted_does_not_pull(catalogue: Catalogue) -> None:
    liked = history("spade").events + history("pan", kind="dislike").events + history("pot", kind="impression").events
    mixed, clean = (retriever(catalogue).space.query(one) for one in (History(events=liked), history("spade")))
    assert mixed is not None
    assert clean is not None
    np.testing.assert_array_equal(mixed.vector, clean.vector)


def test_without_a_history_popularity_decides_and_says_so(catalogue: Catalogue) -> None:
    found = retriever(catalogue, pot=9, rake=3).retrieve(History(), 3)
    assert found.path == "popularity"
    assert [candidate.item.item_id for candidate in found.candidates] == ["pot", "rake", "board"]
    # The log of the share, one event more granted to each item, in the unit of a cosine.
    assert [candidate.score for candidate in found.candidates] == pytest.approx(np.log([0.5, 0.2, 0.05]) / 20)


def test_filters_hold_on_the_popularity_path_too(catalogue: Catalogue) -> None:
    found = retriever(catalogue, pot=9, rake=3).retrieve(History(), 3, among=["pot", "rake", "pan"], excluded={"pot"})
    assert [candidate.item.item_id for candidate in found.candidates] == ["rake", "pan"]


def test_given_items_get_the_score_that_a_search_would_give_them(catalogue: Catalogue) -> None:
    asked = retriever(catalogue)
    searched = {one.item.item_id: one.score for one in asked.retrieve(history("spade"), 8).candidates}
    for candidate in asked.score(history("spade"), ["pot", "rake"]).candidates:
        assert candidate.score == pytest.approx(searched[candidate.item.item_id], abs=1e-6)


def test_an_event_on_a_vanished_item_is_passed_over(catalogue: Catalogue) -> None:
    assert retriever(catalogue).retrieve(history("gone"), 1).path == "popularity"
