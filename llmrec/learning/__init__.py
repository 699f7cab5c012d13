"""Learning: from what users did to a LoRA adapter of the language model, and the periodic run that makes a release.

The names below are loaded when first used, so that importing this package loads neither torch nor accelerate.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from llmrec.learning.retraining import Retraining, retrain

__all__ = ["Retraining", "retrain"]


def __getattr__(name: str) -> object:
    if name not in __all__:
        raise AttributeError(f"module 'llmrec.learning' has no attribute {name!r}")
    return getattr(import_module("llmrec.learning.retraining"), name)
