"""The language model: scores token ids, all suffixes of a request in one pass over their shared prefix."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from transformers import AutoModelForCausalLM

from llmrec.errors import ScoringError
from llmrec.models.loading import DtypeName, choose_device, choose_dtype, load_pretrained, load_tokenizer
from llmrec.models.packing import Ids, canonical, in_passes
from llmrec.models.probing import attention_window, packing_problem
from llmrec.models.reader import AnswerReader
from llmrec.models.segments import Segment
from llmrec.models.sources import ModelSource
from llmrec.models.tokens import Tokens

__all__ = ["TransformersLM"]

_log = logging.getLogger(__name__)


class TransformersLM:
    """A causal language model of transformers; safe to share between threads, which then take turns.

    Args:
        source: Where the model came from.
        model: The model, on its device and ready for inference.
        tokens: Its tokenizer.
        batch_tokens: Longest forward pass, in tokens.
        labels: The two answers; a score is the log-odds of the first against the second.

    Attributes:
        model: The transformers model.
        packs: Whether suffixes are packed behind their prefix; decided by a trial when the model is loaded.
        packing_note: Why not; empty if they are.

    Raises:
        ModelError: A label is not one token, or the answer cannot be read.
    """

    def __init__(
        self, source: ModelSource, model: Any, tokens: Tokens, batch_tokens: int, labels: tuple[str, str]
    ) -> None:
        self.name, self.sha256 = source.name, source.sha256
        self.model = model
        self._tokens = tokens
        self._batch_tokens = batch_tokens
        self._reader = AnswerReader(model, (tokens.single(labels[0]), tokens.single(labels[1])))
        self._lock = threading.Lock()
        self.packing_note = packing_problem(self._reader, tokens)
        self.packs = not self.packing_note
        if not self.packs:
            _log.warning("%s is scored by separate prompts: %s", self.name, self.packing_note)

    @classmethod
    def load(
        cls,
        source: ModelSource,
        *,
        device: str = "auto",
        dtype: DtypeName = "auto",
        batch_tokens: int = 4096,
        labels: tuple[str, str] = (" Yes", " No"),
    ) -> TransformersLM:
        """Load a resolved model, and find out by a trial whether it can be packed.

        Raises:
            ModelError: It cannot be loaded, or does not answer with the labels.
        """
        place = choose_device(device)
        kind = choose_dtype(dtype, place)
        tokens = Tokens(load_tokenizer(source))
        model = load_pretrained(AutoModelForCausalLM, source, place, kind)
        return cls(source, model, tokens, batch_tokens, labels)

    def tokenize(self, segment: Segment) -> list[int]:
        """The token ids of one segment, nothing added; in a foreign one control tokens are split or left out."""
        return self._tokens.ids(segment)

    def cap(self, text: str, tokens: int) -> tuple[list[int], bool]:
        """The first `tokens` ids of foreign text, and whether something was cut off.

        A text of many characters is cut before it is tokenised, far enough behind its first `tokens` ids.
        """
        return self._tokens.cap(text, tokens)

    def score(self, prefix: Sequence[int], suffixes: Sequence[Sequence[int]]) -> NDArray[np.float32]:
        """logit(Yes) - logit(No) after prefix + suffix, float32 [len(suffixes)], in the order of the suffixes.

        The start token, where the tokenizer has one, is put before the prefix. The order of the suffixes, and doubles
        among them, change nothing in the computation, so not a single bit of a score; which others are there changes it
        by rounding only (1e-5 in float32, .1 in bfloat16).

        Raises:
            ScoringError: The prompt is too long for the model, the memory is too small, the forward pass fails, or a
                score is not a number.
        """
        longest = len(self._tokens.start) + len(prefix) + max(map(len, suffixes), default=0)
        window = attention_window(self.model.config)
        fits = window is None or longest <= window
        return self._score(prefix, suffixes, self._packed if self.packs and fits else self._separate)

    def score_separately(self, prefix: Sequence[int], suffixes: Sequence[Sequence[int]]) -> NDArray[np.float32]:
        """What `score` gives, from one whole prompt per suffix: the reference, and the way of models that do not pack.

        Raises:
            ScoringError: As for `score`.
        """
        return self._score(prefix, suffixes, self._separate)

    def _score(
        self, prefix: Sequence[int], suffixes: Sequence[Sequence[int]], read: Callable[[Ids, list[Ids]], torch.Tensor]
    ) -> NDArray[np.float32]:
        if not suffixes:
            return np.zeros(0, np.float32)
        start = (*self._tokens.start, *prefix)
        distinct, places = canonical(suffixes)
        self._check_lengths(len(start), distinct)
        with self._forward():
            scores: NDArray[np.float32] = read(start, distinct).cpu().numpy()
        if not np.isfinite(scores).all():
            raise ScoringError(f"{self.name} gave scores that are not numbers", hint="set models.dtype to float32")
        return scores[places]

    def _packed(self, prefix: Ids, suffixes: list[Ids]) -> torch.Tensor:
        passes = in_passes(len(prefix), suffixes, self._batch_tokens)
        return torch.cat([self._reader.read_packed(prefix, part) for part in passes])

    def _separate(self, prefix: Ids, suffixes: list[Ids]) -> torch.Tensor:
        rows = max(1, self._batch_tokens // (len(prefix) + max(map(len, suffixes))))
        prompts = [(*prefix, *suffix) for suffix in suffixes]
        return torch.cat(
            [self._reader.read_each(prompts[first : first + rows]) for first in range(0, len(prompts), rows)]
        )

    def _check_lengths(self, prefix: int, suffixes: list[Ids]) -> None:
        if not all(suffixes):
            raise ScoringError("a suffix has no tokens", hint="end every suffix with the words before the answer")
        longest = prefix + max(map(len, suffixes))
        limit = getattr(self.model.config, "max_position_embeddings", None) or longest
        if longest > limit:
            raise ScoringError(
                f"a prompt of {longest} tokens is longer than the {limit} that {self.name} can read",
                hint="lower ranking.history_tokens or ranking.text_tokens",
            )

    @contextmanager
    def _forward(self) -> Iterator[None]:
        try:
            with self._lock, torch.inference_mode():
                yield
        except (RuntimeError, IndexError, MemoryError) as error:  # on the CPU an id beyond the vocabulary is the second
            raise _scoring_error(f"{self.name} on {self.model.device}", error) from error


def _scoring_error(what: str, error: Exception) -> ScoringError:
    if _is_out_of_memory(error):
        hint = "lower ranking.batch_tokens or retrieval.candidates, or use a smaller model"
        return ScoringError(f"{what} ran out of memory", hint=hint)
    reason = next(iter(str(error).splitlines()), type(error).__name__)
    return ScoringError(
        f"{what} failed in its forward pass: {reason}",
        hint="set models.device to cpu or models.dtype to float32; if it fails there too, use another model",
    )


def _is_out_of_memory(error: Exception) -> bool:
    # On the CPU torch raises a plain RuntimeError.
    return isinstance(error, MemoryError | torch.OutOfMemoryError) or "can't allocate memory" in str(error)
