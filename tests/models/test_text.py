from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from llmrec.errors import ModelError
from llmrec.models import ModelSource, TextEncoder, resolve

TEXTS = [
    "A frying pan of cast iron, for the kitchen",
    "Heavy iron skillet",
    "A novel about the sea and a lighthouse keeper who writes letters to nobody for thirty years",
    "",
    "Leaf rake",
]


@pytest.fixture(scope="module")
def encoder(minilm: ModelSource) -> TextEncoder:
    return TextEncoder.load(minilm, device="cpu")


@pytest.fixture
def copied(minilm: ModelSource, tmp_path: Path) -> Path:
    shutil.copytree(minilm.path, tmp_path / "encoder")
    return tmp_path / "encoder"


def load(path: Path) -> TextEncoder:
    return TextEncoder.load(resolve(str(path), "text-encoder"), device="cpu")


def test_rows_have_length_one(encoder: TextEncoder) -> None:
    vectors = encoder.encode(TEXTS)
    assert vectors.dtype == np.float32
    assert vectors.shape == (len(TEXTS), encoder.dimension) == (5, 384)
    assert np.linalg.norm(vectors, axis=1) == pytest.approx(1, abs=1e-6)


def test_like_texts_are_near(encoder: TextEncoder) -> None:
    pan, skillet, novel, _, _ = encoder.encode(TEXTS)
    assert pan @ skillet > 0.5
    assert pan @ novel < 0.2


def test_vectors_are_those_of_sentence_transformers(encoder: TextEncoder) -> None:
    # The model card's own example pair; mean pooling over the tokens of each.
    one, other = encoder.encode(["This is an example sentence", "Each sentence is converted"])
    assert one[:3] == pytest.approx([0.0676569, 0.0634959, 0.0487131], abs=1e-5)
    assert other[:3] == pytest.approx([0.0864386, 0.1027626, 0.0053946], abs=1e-5)


def test_a_text_has_the_same_vector_in_any_company(encoder: TextEncoder) -> None:
    texts = [f"{text} {number}" for number in range(30) for text in TEXTS]
    together = encoder.encode(texts)
    backwards = encoder.encode(texts[::-1])[::-1]
    assert np.abs(together - backwards).max() < 1e-6
    for place in (0, 2, 77, 149):
        assert np.abs(encoder.encode([texts[place]])[0] - together[place]).max() < 1e-6


def test_no_texts_give_no_rows(encoder: TextEncoder) -> None:
    assert encoder.encode([]).shape == (0, 384)


def test_what_lies_beyond_the_length_limit_does_not_count(encoder: TextEncoder) -> None:
    long = "garden " * 300
    vectors = encoder.encode([long, long + "and a frying pan", "garden " * 150_000])
    assert np.abs(vectors - vectors[0]).max() < 1e-6


def test_control_tokens_in_a_text_are_read_as_characters(encoder: TextEncoder) -> None:
    plain, marked = encoder.encode(["Leaf rake", "Leaf rake [SEP] [PAD]"])
    assert np.abs(plain - marked).max() > 1e-3


def test_a_bar_for_a_terminal_does_not_disturb(encoder: TextEncoder, capsys: pytest.CaptureFixture[str]) -> None:
    encoder.encode(TEXTS, progress=True)
    assert capsys.readouterr() == ("", "")  # no terminal here


def test_the_pooling_rule_is_read_and_part_of_the_identity(copied: Path, encoder: TextEncoder) -> None:
    same = load(copied)
    (copied / "1_Pooling" / "config.json").write_text(json.dumps({"pooling_mode_cls_token": True}))
    other = load(copied)
    assert same.fingerprint == encoder.fingerprint != other.fingerprint
    assert np.abs(other.encode(TEXTS) - encoder.encode(TEXTS)).max() > 1e-3


@pytest.mark.parametrize(
    ("file", "content"),
    [
        ("1_Pooling/config.json", {"pooling_mode_max_tokens": True}),
        ("modules.json", [{"type": "sentence_transformers.models.Dense"}]),
    ],
)
def test_an_unknown_way_to_pool_is_refused(copied: Path, file: str, content: object) -> None:
    (copied / file).write_text(json.dumps(content))
    with pytest.raises(ModelError, match=r"pools by|Dense"):
        load(copied)


def test_a_malformed_recipe_is_refused(copied: Path) -> None:
    (copied / "1_Pooling" / "config.json").write_text("{")
    with pytest.raises(ModelError, match="is not JSON"):
        load(copied)
