"""The catalogue follows the store, and embeds only what it has not embedded before."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from llmrec import Item
from llmrec.conditions import Condition
from llmrec.data import Store, import_records
from llmrec.errors import ConfigError, EmptyCatalogueError, UnknownItemError
from llmrec.retrieval import CatalogueKeeper
from llmrec.retrieval.catalogue import Where
from llmrec.testing import WordEncoder
from tests.conftest import shop_items


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with Store.open(f"sqlite:///{tmp_path / 'shop.db'}") as opened:
        import_records(opened, items=shop_items())
        yield opened


def test_it_holds_the_items_in_their_order(store: Store, tmp_path: Path) -> None:
    catalogue = CatalogueKeeper(store, WordEncoder(), tmp_path / "index").current()
    assert list(catalogue.items) == [item.item_id for item in shop_items()]
    assert len(catalogue.index) == 8


def test_a_new_item_is_found_at_once_and_alone_embedded(store: Store, tmp_path: Path) -> None:
    encoder = WordEncoder()
    keeper = CatalogueKeeper(store, encoder, tmp_path / "index")
    keeper.current()
    encoder.encoded.clear()
    import_records(store, items=[Item("fork", "Garden fork")])
    catalogue = keeper.current()
    assert encoder.encoded == ["Garden fork"]
    assert catalogue.index.search(encoder.encode(["Garden fork"])[0], 1)[0][0] == "fork"


def test_a_changed_text_is_embedded_again(store: Store, tmp_path: Path) -> None:
    encoder = WordEncoder()
    keeper = CatalogueKeeper(store, encoder, tmp_path / "index")
    keeper.current()
    import_records(store, items=[Item("rake", "Blue velvet sofa")])
    assert keeper.current().index.search(encoder.encode(["Blue velvet sofa"])[0], 1)[0][0] == "rake"


def test_an_unchanged_catalogue_is_read_from_the_cache(store: Store, tmp_path: Path) -> None:
    CatalogueKeeper(store, WordEncoder(), tmp_path / "index").current()
    encoder = WordEncoder()
    CatalogueKeeper(store, encoder, tmp_path / "index").current()
    assert encoder.encoded == []


def test_a_damaged_cache_is_made_anew(store: Store, tmp_path: Path) -> None:
    CatalogueKeeper(store, WordEncoder(), tmp_path / "index").current()
    (file,) = (tmp_path / "index").glob("*.faiss")
    file.write_bytes(file.read_bytes()[::-1])
    encoder = WordEncoder()
    catalogue = CatalogueKeeper(store, encoder, tmp_path / "index").current()
    assert len(encoder.encoded) == 8
    assert len(catalogue.index) == 8


def test_where_the_cache_cannot_be_written_the_answer_still_comes(store: Store, tmp_path: Path) -> None:
    (tmp_path / "index").write_text("a file where the directory should be")
    catalogue = CatalogueKeeper(store, WordEncoder(), tmp_path / "index").current()
    assert len(catalogue.index) == 8


def test_twins_share_a_vector_and_both_stay(store: Store, tmp_path: Path) -> None:
    import_records(store, items=[Item("twin", "Leaf rake", attributes=shop_items()[0].attributes)])
    encoder = WordEncoder()
    catalogue = CatalogueKeeper(store, encoder, tmp_path / "index").current()
    found = catalogue.index.search(encoder.encode([shop_items()[0].text])[0], 2)
    assert {item_id for item_id, _ in found} == {"rake", "twin"}


def test_an_empty_store_says_what_to_do(tmp_path: Path) -> None:
    with Store.open(f"sqlite:///{tmp_path / 'empty.db'}") as store, pytest.raises(EmptyCatalogueError) as caught:
        CatalogueKeeper(store, WordEncoder(), tmp_path / "index").current()
    assert "import" in caught.value.hint


def test_conditions_are_exact(store: Store, tmp_path: Path) -> None:
    catalogue = CatalogueKeeper(store, WordEncoder(), tmp_path / "index").current()
    of = Condition.of

    def matching(where: Where) -> list[str]:
        return list(catalogue.matching(where))

    garden = ["rake", "spade", "hose", "gloves"]
    assert matching({"room": of(["GARDEN"])}) == garden
    assert matching({"tags": of(["kitchen"]), "price": of([10, 12.0])}) == ["pan", "knife"]
    assert matching({"room": of(["kitchen", "Garden"]), "price": of((11, 10))}) == [
        "rake",
        "spade",
        "pan",
        "pot",
    ]
    assert matching({"tags": of(["home", "garden"])}) == list(catalogue.items)
    assert matching({"room": of(["garden"]), "tags": of(["kitchen"])}) == []
    assert matching({"price": of([99])}) == []
    assert matching({"room": of(unwanted=["Kitchen"])}) == garden
    assert matching({"room": of(["garden"], ["garden"])}) == []
    cheap = [one for one, item in catalogue.items.items() if item.attributes["price"] <= 11]  # type: ignore[operator]
    assert 0 < len(cheap) < len(catalogue.items)
    assert matching({"price": of(most=11)}) == cheap
    assert matching({"price": of(least=11.5)}) == [one for one in catalogue.items if one not in cheap]
    assert matching({"room": of(least=0)}) == []
    with pytest.raises(ConfigError, match="colour") as caught:
        matching({"colour": of(["red"])})
    assert "price, room, tags" in caught.value.hint


def test_unknown_items_are_named(store: Store, tmp_path: Path) -> None:
    catalogue = CatalogueKeeper(store, WordEncoder(), tmp_path / "index").current()
    with pytest.raises(UnknownItemError, match="'sofa'"):
        catalogue.require(["rake", "sofa"])
