"""The language model: scores token ids, all suffixes of a request in one pass over their shared prefix."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from transformers import AutoModelForCausalLM

from llmrec.errors import ModelError, ScoringError
from llmrec.models import attention
from llmrec.models.adapted import AdaptedLM
from llmrec.models.adapters import Adapters
from llmrec.models.compiling import compile_blocks
from llmrec.models.faults import scoring_error
from llmrec.models.loading import DtypeName, choose_device, choose_dtype, load_pretrained, load_tokenizer
from llmrec.models.lora import LoraLearner, LoraShape
from llmrec.models.probing import Method, attention_window, choose_method
from llmrec.models.reader import AnswerReader
from llmrec.models.segments import Segment
from llmrec.models.sources import ModelSource
from llmrec.models.states import PrefixStates
from llmrec.models.tokens import Tokens
from llmrec.models.tree import PromptTree, canonical, flat
from llmrec.models.turns import Turns
from llmrec.models.writing import log_likelihoods, write

__all__ = ["TransformersLM"]

_log = logging.getLogger(__name__)

_SHORTEST_TEXT = 2


class TransformersLM:
    """A causal language model of transformers; safe to share between threads, which then take turns.

    Args:
        source: Where the model came from.
        model: The model, on its device and ready for inference.
        tokens: Its tokenizer.
        labels: The two answers; a score is the log-odds of the first against the second.
        batch_tokens: Longest forward pass, in tokens.
        states_bytes: How much memory prefixes that were read before may take.
        time_limit: Seconds after which a call is given up, waiting for its turn included; None: never.

    Attributes:
        model: The transformers model.
        method: How prompts are read (tree, dense, separate); decided by a trial when the model is loaded.
        packing_note: Why not as a tree; empty if they are.

    Raises:
        ModelError: A label is not one token, or the answer cannot be read.
    """

    def __init__(
        self,
        source: ModelSource,
        model: Any,
        tokens: Tokens,
        labels: tuple[str, str],
        *,
        batch_tokens: int,
        states_bytes: int = 0,
        time_limit: float | None = None,
    ) -> None:
        self.name, self.sha256 = source.name, source.sha256
        self.model = model
        self._tokens = tokens
        self._states = PrefixStates(states_bytes)
        lead, label_ids = tokens.answers(*labels)
        self._end = (*tokens.end, *lead)
        self._reader = AnswerReader(model, label_ids, batch_tokens, self._states)
        self._adapters = Adapters(model)
        self._turns = Turns(model, time_limit)
        self.method, self.packing_note = self._tried(tokens)
        if self.method != "tree":
            _log.warning("%s is not read as a tree (%s): %s", self.name, self.method, self.packing_note)

    @classmethod
    def load(
        cls,
        source: ModelSource,
        *,
        device: str = "auto",
        dtype: DtypeName = "auto",
        labels: tuple[str, str] | None = None,
        chat: bool = False,
        compile: bool = False,
        batch_tokens: int = 4096,
        states_bytes: int = 0,
        time_limit: float | None = None,
        training: bool = False,
        four_bit: bool = False,
    ) -> TransformersLM:
        """Load a resolved model, and find out by a trial how it can be read.

        Args:
            source: Where it lies.
            device: auto, cpu, cuda or cuda:N.
            dtype: auto, bfloat16 or float32.
            labels: The two answers; None: Yes and No, as a text or a chat goes on.
            chat: Whether a prompt is what a user says in a chat; else plain text.
            compile: Whether to compile the model; it takes half a minute and saves a twentieth of a request.
            batch_tokens: Longest forward pass, in tokens.
            states_bytes: How much memory prefixes that were read before may take.
            time_limit: Seconds after which a call is given up; None: never.
            training: Whether to train it: auto is then bfloat16 wherever that is quicker.
            four_bit: Keep the weights in 4 bits (NF4, Dettmers et al. 2023), computed with in `dtype`.

        Raises:
            MissingExtraError: 4 bits are wanted and bitsandbytes is not installed.
            ModelError: It cannot be loaded, or does not answer with the labels.
        """
        labels = labels or (("Yes", "No") if chat else (" Yes", " No"))
        place = choose_device(device)
        kind = choose_dtype(dtype, place, training=training)
        tokens = Tokens(load_tokenizer(source), chat=chat)
        model = load_pretrained(AutoModelForCausalLM, source, place, kind, four_bit=four_bit)
        if model.config._attn_implementation == "sdpa":
            model.set_attn_implementation(attention.NAME)
        loaded = cls(
            source, model, tokens, labels, batch_tokens=batch_tokens, states_bytes=states_bytes, time_limit=time_limit
        )
        if compile:
            loaded._compile()
        return loaded

    def _tried(self, tokens: Tokens) -> tuple[Method, str]:
        try:
            return choose_method(self._reader, tokens)
        except (RuntimeError, MemoryError) as error:
            failed = scoring_error(f"the trial of {self.name}", error)
            raise ModelError(str(failed), hint=failed.hint) from error
        finally:
            self._states.clear()

    def _compile(self) -> None:
        compile_blocks(self.model)
        try:
            with self._forward():
                self._reader.read_each([PromptTree(tuple(range(8)))])
        except Exception as error:  # inductor's own, of many kinds
            raise ModelError(
                f"{self.name} cannot be compiled: {next(iter(str(error).splitlines()), '')}",
                hint="install a C++ compiler, or set models.compile to false",
            ) from error

    @property
    def packs(self) -> bool:
        """Whether what prompts share is read once."""
        return self.method != "separate"

    def tokenize(self, segment: Segment) -> list[int]:
        """The token ids of one segment, nothing added; in a foreign one control tokens are split or left out."""
        return self._tokens.ids(segment)

    def cap(self, text: str, tokens: int) -> tuple[list[int], bool]:
        """The first `tokens` ids of foreign text, and whether something was cut off.

        A text of many characters is cut before it is tokenised, far enough behind its first `tokens` ids.
        """
        return self._tokens.cap(text, tokens)

    def text(self, ids: Sequence[int]) -> str:
        """What token ids say, for people and files."""
        return self._tokens.text(ids)

    def add_adapter(self, name: str, directory: Path) -> None:
        """Load a LoRA adapter beside the base and the other adapters; one of the same name is replaced.

        Raises:
            ModelError: It is no LoRA adapter in safetensors, or not one for this model.
            ScoringError: The model is not free in time, or the memory is too small.
        """
        with self._turns.next():
            self._adapters.load(name, directory)
            self._states.clear()  # another release is about to answer: the memory is for what it reads

    def adapted(self, name: str, directory: Path) -> AdaptedLM:
        """This model with an adapter, loaded beside the others.

        Raises:
            ModelError: As for `add_adapter`.
        """
        self.add_adapter(name, directory)
        return AdaptedLM(self, name)

    def remove_adapter(self, name: str) -> None:
        """Let go of an adapter, and of what was read with it."""
        with self._turns.next():
            self._adapters.remove(name)
            self._states.forget(name)

    def learner(self, shape: LoraShape) -> LoraLearner:
        """This model with a new adapter that is trained; until that is closed, nothing else may use the model.

        Raises:
            ModelError: It cannot be read in one pass that gradients flow through.
        """
        if not self.packs:
            raise ModelError(f"{self.name} is not trained: {self.packing_note}", hint="use a model that can be packed")
        with self._turns.next():
            self._adapters.use(None)
        frame, in_parts = (self._tokens.start, self._end), self.method == "tree"
        return LoraLearner(self.name, self.model, self._reader, frame, shape, in_parts=in_parts)

    def score(
        self, prefix: Sequence[int], suffixes: Sequence[Sequence[int]], *, adapter: str | None = None
    ) -> NDArray[np.float32]:
        """logit(Yes) - logit(No) after prefix + suffix, float32 [len(suffixes)], in the order of the suffixes.

        As `score_trees` with one tree.

        Raises:
            ScoringError: As for `score_trees`.
        """
        return self.score_trees([flat(prefix, suffixes)], adapter=adapter) if suffixes else np.zeros(0, np.float32)

    def score_trees(self, trees: Sequence[PromptTree], *, adapter: str | None = None) -> NDArray[np.float32]:
        """logit(Yes) - logit(No) after every prompt, float32 [leaves], in the order of the leaves.

        Of a leaf that is a text, the mean log chance of its tokens but the first, each behind all that is before it.

        The start token, where the tokenizer has one, is put before every prompt; in a chat, what the template writes
        around it. The order of the trees and of what continues them, and doubles among them, change nothing in the
        computation, so not a single bit of a score; which others are there, and what of it was read before, changes it
        by rounding only (1e-5 in float32, .1 in bfloat16).

        Args:
            trees: The prompts.
            adapter: The one to compute with; None: the base alone.

        Raises:
            ScoringError: There is no such adapter, a prompt is too long for the model, the memory is too small, the
                time is over, the forward pass fails, or a score is not a number.
        """
        if not trees:
            return np.zeros(0, np.float32)
        window, around = attention_window(self.model.config), len(self._tokens.start) + len(self._end)
        fits = window is None or around + max(tree.longest for tree in trees) <= window
        return self._score(trees, self.method if fits else "separate", adapter)

    def score_separately(
        self, prefix: Sequence[int], suffixes: Sequence[Sequence[int]], *, adapter: str | None = None
    ) -> NDArray[np.float32]:
        """What `score` gives, from one whole prompt per suffix: the reference, and the way of models that do not pack.

        Raises:
            ScoringError: As for `score_trees`.
        """
        return self._score([flat(prefix, suffixes)], "separate", adapter) if suffixes else np.zeros(0, np.float32)

    def write(self, prompt: Sequence[int], most: int, *, begin: Sequence[int] = (), adapter: str | None = None) -> str:
        """The likeliest text behind a prompt: one line, or what of it fits into so many tokens.

        The prompt is framed as those of `score_trees` are.

        Args:
            prompt: Token ids.
            most: Tokens to write at most.
            begin: Token ids that the text begins with; they are not in what is returned.
            adapter: The one to write with; None: the base alone.

        Raises:
            ScoringError: As for `score_trees`.
        """
        asked = (*self._framed(prompt), *begin)
        self._check_length(len(asked) + most)
        with self._forward(adapter):
            return self._tokens.text(write(self.model, asked, most, self._tokens.ends))

    def log_likelihoods(
        self, texts: Sequence[tuple[Sequence[int], Sequence[int]]], *, adapter: str | None = None
    ) -> NDArray[np.float64]:
        """The log chance that each text is written behind its prompt and ends there, float64 [texts].

        Args:
            texts: Pairs of token ids: a prompt, as for `write`, and what stands behind it.
            adapter: The one to compute with; None: the base alone.

        Raises:
            ScoringError: As for `score_trees`.
        """
        framed = [self.as_text(*text) for text in texts]
        self._check_length(max((len(prompt) + len(written) for prompt, written in framed), default=0))
        with self._forward(adapter):
            return log_likelihoods(self.model, framed)

    def as_text(self, prompt: Sequence[int], written: Sequence[int]) -> tuple[tuple[int, ...], tuple[int, ...]]:
        """All ids of a prompt and of what stands behind it, with those that begin and end a text."""
        return self._framed(prompt), (*written, *self._tokens.eos)

    def _framed(self, prompt: Sequence[int]) -> tuple[int, ...]:
        return (*self._tokens.start, *prompt, *self._tokens.end)

    def _score(self, trees: Sequence[PromptTree], method: Method, adapter: str | None = None) -> NDArray[np.float32]:
        self._check_leaves(trees)
        distinct, places = canonical([tree.framed(self._tokens.start, self._end) for tree in trees])
        self._check_lengths(distinct)
        with self._forward(adapter):
            scores: NDArray[np.float32] = self._read(distinct, method, adapter).cpu().numpy()
        if not np.isfinite(scores).all():
            raise ScoringError(f"{self.name} gave scores that are not numbers", hint="set models.dtype to float32")
        return scores[places]

    def _read(self, trees: Sequence[PromptTree], method: Method, weights: str | None) -> torch.Tensor:
        if method == "tree":
            return self._reader.read_tree(trees, weights)
        if method == "dense":
            return self._reader.read_dense(trees)
        return self._reader.read_each(trees)

    def _check_leaves(self, trees: Sequence[PromptTree]) -> None:
        leaves = [leaf for tree in trees for leaf in tree.ends()]
        if not all(leaf.ids for leaf in leaves):
            raise ScoringError("a suffix has no tokens", hint="end every suffix with the words before the answer")
        if any(leaf.written and len(leaf.ids) < _SHORTEST_TEXT for leaf in leaves):
            raise ScoringError(
                "a text has one token", hint="begin it with one that is not asked about, as a line break"
            )

    def _check_lengths(self, trees: Sequence[PromptTree]) -> None:
        self._check_length(max(tree.longest for tree in trees))

    def _check_length(self, longest: int) -> None:
        limit = getattr(self.model.config, "max_position_embeddings", None) or longest
        if longest > limit:
            raise ScoringError(
                f"a prompt of {longest} tokens is longer than the {limit} that {self.name} can read",
                hint="lower ranking.history_tokens or ranking.text_tokens",
            )

    @contextmanager
    def _forward(self, adapter: str | None = None) -> Iterator[None]:
        try:
            with self._turns.next(), torch.inference_mode():
                self._adapters.use(adapter)
                yield
        except (RuntimeError, IndexError, MemoryError) as error:  # on the CPU an id beyond the vocabulary is the second
            self._states.clear()  # where memory is short, this is what can be spared
            raise scoring_error(f"{self.name} on {self.model.device}", error) from error
