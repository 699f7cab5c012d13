"""What the rest of llmrec asks of the two neural models; the fakes of the tests offer the same."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from llmrec.models.segments import Segment
from llmrec.models.tree import PromptTree

__all__ = ["Encoder", "LanguageModel"]


class Encoder(Protocol):
    """Turns texts into vectors of length one."""

    @property
    def name(self) -> str:
        """The name it was asked for by."""

    @property
    def fingerprint(self) -> str:
        """What identifies its vectors: two encoders with the same one give the same vectors."""

    @property
    def dimension(self) -> int:
        """Length of a vector."""

    def encode(self, texts: Sequence[str], *, progress: bool = False) -> NDArray[np.float32]:
        """Unit rows, float32 [len(texts), dimension], in the order of the texts."""


class LanguageModel(Protocol):
    """Reads token ids: how much likelier Yes is than No next, or how likely a text. It never sees an item."""

    @property
    def name(self) -> str:
        """The name it was asked for by."""

    @property
    def sha256(self) -> str:
        """What identifies its weights; an adapter fits one base only."""

    @property
    def packs(self) -> bool:
        """Whether many suffixes are scored in one pass over their shared prefix."""

    @property
    def packing_note(self) -> str:
        """Why prompts are not read as a tree; empty if they are."""

    def tokenize(self, segment: Segment) -> list[int]:
        """The token ids of one segment; a prompt is the ids of its segments, one after the other."""

    def cap(self, text: str, tokens: int) -> tuple[list[int], bool]:
        """The ids of foreign text, at most `tokens` whole ones, and whether something was cut off."""

    def text(self, ids: Sequence[int]) -> str:
        """What token ids say, for people and files."""

    def adapted(self, name: str, directory: Path) -> LanguageModel:
        """The same model with a LoRA adapter, which is loaded beside others; one of the same name is replaced.

        Raises:
            ModelError: It is no adapter for this model.
        """

    def remove_adapter(self, name: str) -> None:
        """Let go of an adapter."""

    def score(self, prefix: Sequence[int], suffixes: Sequence[Sequence[int]]) -> NDArray[np.float32]:
        """logit(Yes) - logit(No) after prefix + suffix, float32 [len(suffixes)], in the order of the suffixes.

        A score depends neither on the order nor on the contents of the other suffixes.

        Raises:
            ScoringError: The model failed on this request.
        """

    def score_trees(self, trees: Sequence[PromptTree]) -> NDArray[np.float32]:
        """logit(Yes) - logit(No) after every prompt of the trees, float32 [leaves], in the order of the leaves.

        Of a leaf that is written: the log chance of its tokens after the first, nats a token.

        Raises:
            ScoringError: The model failed on this request.
        """

    def write(self, prompt: Sequence[int], most: int, *, begin: Sequence[int] = ()) -> str:
        """The likeliest line of text behind a prompt and what the line begins with, of so many tokens at most.

        Raises:
            ScoringError: The model failed on this request.
        """

    def log_likelihoods(self, texts: Sequence[tuple[Sequence[int], Sequence[int]]]) -> NDArray[np.float64]:
        """The log chance that each text is written behind its prompt and ends there, float64 [texts].

        Raises:
            ScoringError: The model failed on this request.
        """
