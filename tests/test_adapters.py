"""What is shipped can be loaded, and is what its README says."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import numpy as np
import pytest

from llmrec.config import Settings
from llmrec.ranking import PromptLibrary
from llmrec.releases import Release, shipped_release
from llmrec.retrieval import FittedEncoder
from llmrec.serving import Live

ADAPTERS = Path(__file__).parents[1] / "adapters"


def test_the_encoder_of_movielens_1m_loads_whole() -> None:
    weights = (ADAPTERS / "ml-1m" / "encoder.safetensors").read_bytes()
    assert hashlib.sha256(weights).hexdigest()[:8] in (ADAPTERS / "README.md").read_text(encoding="utf-8")
    fitted = FittedEncoder.from_parts(weights, json.loads((ADAPTERS / "ml-1m" / "encoder.json").read_bytes()))
    items = fitted.item_vectors(np.zeros((len(fitted.item_ids), 384), np.float32))
    assert items.shape == (3416, 128)
    unknown, rows = np.full(3, np.nan), np.array([fitted.item_ids.index(one) for one in ("260", "1196", "1198")])
    user = fitted.vocabulary.encode(rows=rows, kinds=["event"] * 3, values=unknown, times=unknown)
    state, attention = fitted.read(user, items)
    assert np.isfinite(state).all()
    assert attention.sum() == pytest.approx(1.0, abs=1e-5)


@pytest.mark.parametrize(("name", "told"), [("ml-100k", "0:32"), ("ml-1m", "0:32:evidence1")])
def test_each_release_is_whole_and_fits_the_base_and_the_words_it_is_asked_with(name: str, told: str) -> None:
    home = shipped_release(name)
    assert home == ADAPTERS / name
    manifest = json.loads((home / "manifest.json").read_bytes())
    release = Release(manifest["version"], home, manifest)
    for file in manifest["files"]:
        release.read(file)
    assert {path.relative_to(home).as_posix() for path in home.rglob("*") if path.is_file()} == {
        *manifest["files"],
        "manifest.json",
    }
    assert Settings().models.language_model == manifest["base_model_name"]
    assert manifest["prompt"] == f"{PromptLibrary().fingerprint('rank')}:{told}"
    live = Live.load(release)
    assert live.encoder is not None
    assert live.evidence is not None
    assert live.fusion.llm_weight > 0
    about = (ADAPTERS / "README.md").read_text(encoding="utf-8")
    assert manifest["files"]["adapter/adapter_model.safetensors"][:8] in about


def test_the_demo_serves_its_release_as_settings_are_by_default() -> None:
    manifest = json.loads((ADAPTERS / "ml-100k" / "manifest.json").read_bytes())
    assert manifest["settings"]["ranking"]["history_tokens"] == Settings().ranking.history_tokens


def test_nothing_shipped_is_large() -> None:
    sizes = [path.stat().st_size for path in ADAPTERS.rglob("*") if path.is_file()]
    assert max(sizes) <= 12_000_000
    assert sum(sizes) <= 40_000_000
