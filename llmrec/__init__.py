"""llmrec: a recommender whose ranker is an open language model.

Importing this package loads neither torch nor faiss; the names below are loaded when first used.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from llmrec.config import Settings
    from llmrec.errors import LlmrecError
    from llmrec.recommender import Recommender
    from llmrec.records import (
        Candidate,
        Event,
        Evidence,
        Explanation,
        History,
        Item,
        RankedItem,
        Recommendation,
        Trace,
        User,
    )

__all__ = [
    "Candidate",
    "Event",
    "Evidence",
    "Explanation",
    "History",
    "Item",
    "LlmrecError",
    "RankedItem",
    "Recommendation",
    "Recommender",
    "Settings",
    "Trace",
    "User",
    "__version__",
]

__version__ = "0.1.0"

_HOMES = {"LlmrecError": "llmrec.errors", "Recommender": "llmrec.recommender", "Settings": "llmrec.config"}


def __getattr__(name: str) -> object:
    if name not in __all__:
        raise AttributeError(f"module 'llmrec' has no attribute {name!r}")
    return getattr(import_module(_HOMES.get(name, "llmrec.records")), name)


def __dir__() -> list[str]:
    return __all__
