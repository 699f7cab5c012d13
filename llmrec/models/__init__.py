"""The two neural seams: the text encoder and the language model; and where their weights come from.

The names below are loaded when first used, so that importing this package loads neither torch nor transformers.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from llmrec.models.lm import TransformersLM
    from llmrec.models.loading import choose_device, choose_dtype
    from llmrec.models.protocols import Encoder, LanguageModel
    from llmrec.models.segments import Segment
    from llmrec.models.sharing import ModelThread, SharedLM
    from llmrec.models.sources import KnownModel, ModelKind, ModelSource, fetch, known_models, resolve
    from llmrec.models.text import TextEncoder
    from llmrec.models.tree import PromptTree, flat

__all__ = [
    "Encoder",
    "KnownModel",
    "LanguageModel",
    "ModelKind",
    "ModelSource",
    "ModelThread",
    "PromptTree",
    "Segment",
    "SharedLM",
    "TextEncoder",
    "TransformersLM",
    "choose_device",
    "choose_dtype",
    "fetch",
    "flat",
    "known_models",
    "resolve",
]

_HOMES = {
    "Encoder": "protocols",
    "LanguageModel": "protocols",
    "ModelThread": "sharing",
    "PromptTree": "tree",
    "Segment": "segments",
    "SharedLM": "sharing",
    "TextEncoder": "text",
    "TransformersLM": "lm",
    "choose_device": "loading",
    "choose_dtype": "loading",
    "flat": "tree",
}


def __getattr__(name: str) -> object:
    if name not in __all__:
        raise AttributeError(f"module 'llmrec.models' has no attribute {name!r}")
    return getattr(import_module(f"llmrec.models.{_HOMES.get(name, 'sources')}"), name)


def __dir__() -> list[str]:
    return __all__
