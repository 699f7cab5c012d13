"""What was learnt from sentences, kept in the user's cache: embedding some thousand sentences takes seconds."""

from __future__ import annotations

import hashlib
import io
import logging
import zipfile
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from llmrec.artifacts import cache_dir
from llmrec.files import replace_file

__all__ = ["learnt_before"]

_FEW = 500
"""So many sentences or fewer are learnt again each time."""
_KEPT = 4
"""Files: whoever changes the examples leaves old ones behind."""
_log = logging.getLogger(__name__)

Floats = NDArray[np.float64]


def learnt_before(
    told: Sequence[object], learn: Callable[[], tuple[Floats, Floats]], directory: Path | None = None
) -> tuple[Floats, Floats]:
    """Vectors and weights learnt from the same before, else learnt now, and kept where the cache can be written.

    Args:
        told: All that they depend on.
        learn: Gives them.
        directory: Where they are kept; None: in the user's cache.
    """
    if len(told) <= _FEW:
        return learn()
    key = hashlib.sha256("\n".join(map(str, told)).encode()).hexdigest()
    path = (directory or cache_dir() / "sentences") / f"{key[:32]}.npz"
    try:
        with np.load(path, allow_pickle=False) as kept:
            return kept["vectors"].astype(np.float64), kept["weights"]
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
        _log.debug("nothing learnt before is at %s", path)
    vectors, weights = learn()
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        written = io.BytesIO()
        np.savez(written, vectors=vectors.astype(np.float32), weights=weights)
        replace_file(path, written.getvalue())
        for old in sorted(path.parent.glob("*.npz"), key=lambda one: one.stat().st_mtime)[:-_KEPT]:
            old.unlink(missing_ok=True)
    except OSError as error:
        _log.warning("what was learnt of sentences is not kept: %s", error)
    return vectors, weights
