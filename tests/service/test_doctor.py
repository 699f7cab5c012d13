"""The doctor looks at everything and changes nothing; what is not yet there is no fault."""

import hashlib
import json
import os
from pathlib import Path

import pytest

import llmrec
from llmrec import Item, Recommender
from llmrec.artifacts import locked, new_directory
from llmrec.models import sources
from llmrec.releases import sealed
from llmrec.service.doctor import Finding, examine
from llmrec.testing import WordEncoder
from tests.conftest import open_shop


@pytest.fixture(autouse=True)
def _no_model_is_loaded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("a model is loaded")

    monkeypatch.setenv("LLMREC_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("LLMREC_OFFLINE", "1")
    monkeypatch.setattr(llmrec.models.TextEncoder, "load", refuse)
    monkeypatch.setattr(llmrec.models.TransformersLM, "load", refuse)


@pytest.fixture
def fitted(tmp_path: Path) -> Path:
    with open_shop(tmp_path / "shop") as rec:
        rec.fit()
    return tmp_path / "shop"


@pytest.fixture
def cached(monkeypatch: pytest.MonkeyPatch) -> Path:
    """A known model in the cache."""
    pinned = sources._Pinned("tiny", "language-model", "MIT", "tiny", "1.0", "0" * 64, "tiny", "tiny.gguf", "1" * 64)
    monkeypatch.setattr(sources, "_PINNED", {"tiny": pinned})
    with locked(pinned.directory), new_directory(pinned.directory, {"sha256": "1" * 64}) as directory:
        (directory / "model.safetensors").write_bytes(b"weights")
    return pinned.directory


def found(workspace: Path) -> dict[str, Finding]:
    return {finding.what: finding for finding in examine(workspace)}


def test_a_new_workspace_has_no_fault(tmp_path: Path) -> None:
    Recommender.create(tmp_path / "new").close()
    findings = found(tmp_path / "new")
    assert {findings[what].state for what in ("store", "release", "index")} == {"note"}
    assert "llmrec import" in findings["index"].detail
    assert "fault" not in {finding.state for finding in findings.values()}


def test_a_workspace_before_its_first_fit_has_no_fault(tmp_path: Path) -> None:
    open_shop(tmp_path / "shop").close()
    findings = found(tmp_path / "shop")
    assert (findings["store"].state, findings["release"].state, findings["index"].state) == ("ok", "note", "note")
    assert "llmrec fit" in findings["index"].detail
    assert not (tmp_path / "shop" / "index").exists()


def test_a_fitted_workspace_is_whole(fitted: Path) -> None:
    findings = found(fitted)
    assert {findings[what].state for what in ("store", "release", "index")} == {"ok"}
    assert "8 vectors" in findings["index"].detail


def test_a_damaged_index_is_a_fault_and_stays_as_it_is(fitted: Path) -> None:
    (file,) = (fitted / "index").glob("*.faiss")
    file.write_bytes(b"damaged")
    finding = found(fitted)["index"]
    assert finding.state == "fault"
    assert "llmrec fit" in finding.detail
    assert file.read_bytes() == b"damaged"


def test_an_index_of_another_encoder_is_a_fault(fitted: Path) -> None:
    manifest = fitted / "index" / "index.json"
    manifest.write_text(manifest.read_text().replace(WordEncoder.fingerprint, "another"))
    assert found(fitted)["index"].state == "fault"


def test_items_that_are_not_indexed_yet_are_counted(fitted: Path) -> None:
    with Recommender.open(fitted, encoder=WordEncoder()) as rec:
        rec.add_items([Item("saw", "Saw"), Item("axe", "Axe")])
    finding = found(fitted)["index"]
    assert finding.state == "note"
    assert finding.detail.startswith("2 items")


def test_a_release_may_hold_files_that_are_not_json(fitted: Path) -> None:
    release = fitted / "releases" / "rank" / "0001"
    (release / "weights.bin").write_bytes(b"\xff\xfe")
    manifest = json.loads((release / "manifest.json").read_text())
    manifest["files"]["weights.bin"] = hashlib.sha256(b"\xff\xfe").hexdigest()
    (release / "manifest.json").write_text(json.dumps(sealed(manifest)))
    assert found(fitted)["release"].state == "ok"
    (release / "weights.bin").write_bytes(b"\xff\xff")
    assert found(fitted)["release"].state == "fault"


def test_a_release_that_was_asked_otherwise_is_a_fault(fitted: Path) -> None:
    (fitted / "llmrec.toml").write_text('[ranking]\nask = "title"\n')
    finding = found(fitted)["release"]
    assert finding.state == "fault"
    assert 'made with ask = "choice"' in finding.detail


def test_a_cached_model_is_compared_with_its_checksums(cached: Path, tmp_path: Path) -> None:
    assert found(tmp_path)["model tiny"] == Finding("model tiny", "ok", str(cached))
    (cached / "model.safetensors").write_bytes(b"altered")
    os.utime(cached / "model.safetensors", (1, 1))
    finding = found(tmp_path)["model tiny"]
    assert finding.state == "fault"
    assert "was altered" in finding.detail
    assert "llmrec models fetch tiny" in finding.detail


def test_a_model_that_is_not_fetched_yet_is_no_fault(tmp_path: Path) -> None:
    findings = [finding for what, finding in found(tmp_path).items() if what.startswith("model ")]
    assert findings
    assert {finding.state for finding in findings} == {"note"}
