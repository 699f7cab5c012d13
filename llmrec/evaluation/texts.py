"""Vectors of the items' texts, kept on disk: embedding a large catalogue takes minutes, reading it back none."""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from llmrec.files import replace_file, writing
from llmrec.models import Encoder

__all__ = ["text_vectors"]


def text_vectors(
    texts: Sequence[str], encoder: Encoder, directory: Path, *, progress: bool = False
) -> NDArray[np.float32]:
    """Float32 [len(texts), dimension], read from `directory` where the same encoder embedded the same texts before.

    Raises:
        StoreError: The directory cannot be written.
    """
    key = hashlib.sha256(json.dumps([encoder.fingerprint, *texts]).encode()).hexdigest()
    path = directory / f"texts-{key[:32]}.npy"
    kept = _read(path)
    if kept is not None and kept.shape == (len(texts), encoder.dimension):
        return kept
    vectors = encoder.encode(texts, progress=progress)
    with writing(directory):
        directory.mkdir(parents=True, exist_ok=True)
        replace_file(path, _npy(vectors))
    return vectors


def _read(path: Path) -> NDArray[np.float32] | None:
    """None where there is no such file, or none that can be read: it is a cache."""
    try:
        vectors: NDArray[np.float32] = np.load(path, allow_pickle=False)
    except (OSError, ValueError, EOFError):
        return None
    return vectors


def _npy(vectors: NDArray[np.float32]) -> bytes:
    written = io.BytesIO()
    np.save(written, vectors, allow_pickle=False)
    return written.getvalue()
