"""A language model as one of its adapters makes it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from llmrec.models.segments import Segment
from llmrec.models.tree import PromptTree

if TYPE_CHECKING:
    from llmrec.models.lm import TransformersLM

__all__ = ["AdaptedLM"]


@dataclass(frozen=True, slots=True)
class AdaptedLM:
    """Offers what the base does, with the adapter's scores; the base stays as it is.

    Args:
        base: Holds the adapter.
        adapter: By which name.
    """

    base: TransformersLM
    adapter: str

    @property
    def name(self) -> str:
        """The base's."""
        return self.base.name

    @property
    def sha256(self) -> str:
        """The base's."""
        return self.base.sha256

    @property
    def packs(self) -> bool:
        """Whether many suffixes are scored in one pass over their shared prefix."""
        return self.base.packs

    @property
    def packing_note(self) -> str:
        """Why prompts are not read as a tree; empty if they are."""
        return self.base.packing_note

    def tokenize(self, segment: Segment) -> list[int]:
        """The token ids of one segment."""
        return self.base.tokenize(segment)

    def cap(self, text: str, tokens: int) -> tuple[list[int], bool]:
        """The first `tokens` ids of foreign text, and whether something was cut off."""
        return self.base.cap(text, tokens)

    def text(self, ids: Sequence[int]) -> str:
        """What token ids say."""
        return self.base.text(ids)

    def adapted(self, name: str, directory: Path) -> AdaptedLM:
        """The base with another adapter."""
        return self.base.adapted(name, directory)

    def remove_adapter(self, name: str) -> None:
        """Let go of an adapter of the base."""
        self.base.remove_adapter(name)

    def score(self, prefix: Sequence[int], suffixes: Sequence[Sequence[int]]) -> NDArray[np.float32]:
        """As the base's, with the adapter."""
        return self.base.score(prefix, suffixes, adapter=self.adapter)

    def score_trees(self, trees: Sequence[PromptTree]) -> NDArray[np.float32]:
        """As the base's, with the adapter."""
        return self.base.score_trees(trees, adapter=self.adapter)

    def write(self, prompt: Sequence[int], most: int, *, begin: Sequence[int] = ()) -> str:
        """As the base's, with the adapter."""
        return self.base.write(prompt, most, begin=begin, adapter=self.adapter)

    def log_likelihoods(self, texts: Sequence[tuple[Sequence[int], Sequence[int]]]) -> NDArray[np.float64]:
        """As the base's, with the adapter."""
        return self.base.log_likelihoods(texts, adapter=self.adapter)
