"""Two catalogues to talk about: films with the release that comes with llmrec, and a garden shop."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from llmrec import Event, Item, Recommender
from llmrec.data import fetch_dataset
from llmrec.models import TextEncoder, resolve
from llmrec.testing import OverlapLanguageModel

SHOP = {
    "spade": ("Steel spade", "tools", "steel", 24.0),
    "fork": ("Digging fork", "tools", "steel", 29.0),
    "rake": ("Leaf rake", "tools", "wood", 15.0),
    "hoe": ("Dutch hoe", "tools", "wood", 18.0),
    "saw": ("Pruning saw", "tools", "steel", 22.0),
    "shears": ("Hedge shears", "tools", "steel", 35.0),
    "rose": ("Climbing rose", "plants", "organic", 12.0),
    "fern": ("Forest fern", "plants", "organic", 8.0),
    "mint": ("Pot of mint", "herbs", "organic", 3.0),
    "thyme": ("Lemon thyme", "herbs", "organic", 3.5),
    "basil": ("Sweet basil", "herbs", "organic", 2.5),
    "sage": ("Common sage", "herbs", "organic", 4.0),
    "chair": ("Folding chair", "furniture", "wood", 49.0),
    "table": ("Garden table", "furniture", "wood", 120.0),
    "bench": ("Park bench", "furniture", "wood", 180.0),
    "lamp": ("Solar lamp", "lights", "plastic", 14.0),
    "lantern": ("Paper lantern", "lights", "paper", 9.0),
    "hose": ("Garden hose", "watering", "plastic", 26.0),
    "can": ("Watering can", "watering", "plastic", 11.0),
    "barrel": ("Rain barrel", "watering", "plastic", 60.0),
}


@pytest.fixture(scope="session")
def encoder() -> TextEncoder:
    return TextEncoder.load(resolve("all-minilm-l6-v2", "text-encoder"), device="cpu")


@pytest.fixture(scope="session")
def films_path(tmp_path_factory: pytest.TempPathFactory, encoder: TextEncoder) -> Path:
    path = tmp_path_factory.mktemp("films") / "films"
    folder = str(fetch_dataset("ml-100k"))
    settings = {"ranking": {"enabled": False, "attributes": 0}, "feedback": {"burst_seconds": 0}}
    with Recommender.create(path, settings, encoder=encoder) as rec:
        rec.import_(users=folder, items=folder, events=folder)
        rec.install(Path(__file__).parents[2] / "adapters" / "ml-100k")
    return path


@pytest.fixture(scope="session")
def films(films_path: Path, encoder: TextEncoder) -> Iterator[Recommender]:
    """MovieLens-100K without the language model; each test talks as a user of its own."""
    with Recommender.open(films_path, encoder=encoder) as rec:
        yield rec


@pytest.fixture(scope="session")
def garden(tmp_path_factory: pytest.TempPathFactory, encoder: TextEncoder) -> Iterator[Recommender]:
    path = tmp_path_factory.mktemp("garden") / "garden"
    settings = {"feedback": {"burst_seconds": 0}}
    with Recommender.create(path, settings, encoder=encoder, language_model=OverlapLanguageModel()) as rec:
        rec.add_items(
            Item(item_id, title, attributes={"department": department, "material": material, "price": price})
            for item_id, (title, department, material, price) in SHOP.items()
        )
        rec.add_events(
            Event(user_id, item_id, "purchase")
            for user_id, bought in {
                "ann": ["spade", "rake", "hose"],
                "bob": ["mint", "thyme", "rose"],
                "cem": ["chair", "lamp", "can"],
                "dia": ["rake", "hoe", "basil"],
            }.items()
            for item_id in bought
        )
        rec.fit()
        yield rec
