"""Text vectors are made once for the same texts and encoder."""

from pathlib import Path

import numpy as np

from llmrec.evaluation import text_vectors
from llmrec.testing import WordEncoder

TEXTS = ["Leaf rake", "Frying pan"]


def test_the_second_call_embeds_nothing(tmp_path: Path) -> None:
    encoder = WordEncoder(8)
    first = text_vectors(TEXTS, encoder, tmp_path / "new")
    assert encoder.encoded == TEXTS
    np.testing.assert_array_equal(text_vectors(TEXTS, encoder, tmp_path / "new"), first)
    assert encoder.encoded == TEXTS


def test_other_texts_and_other_encoders_are_embedded(tmp_path: Path) -> None:
    encoder, other = WordEncoder(8), WordEncoder(8)
    other.fingerprint = "another"
    text_vectors(TEXTS, encoder, tmp_path)
    text_vectors(TEXTS[::-1], encoder, tmp_path)
    text_vectors(TEXTS, other, tmp_path)
    assert encoder.encoded == [*TEXTS, *TEXTS[::-1]]
    assert other.encoded == TEXTS


def test_a_damaged_file_is_made_anew(tmp_path: Path) -> None:
    encoder = WordEncoder(8)
    first = text_vectors(TEXTS, encoder, tmp_path)
    (kept,) = tmp_path.glob("texts-*.npy")
    for damage in (b"", b"rubbish", kept.read_bytes()[:-9]):
        kept.write_bytes(damage)
        np.testing.assert_array_equal(text_vectors(TEXTS, encoder, tmp_path), first)
