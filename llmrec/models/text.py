"""The text encoder: texts become vectors of length one, as sentence-transformers would make them."""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from tqdm import tqdm
from transformers import AutoModel

from llmrec.errors import ModelError
from llmrec.models.loading import choose_device, load_pretrained, load_tokenizer
from llmrec.models.sources import ModelSource

__all__ = ["TextEncoder"]

_BATCH_TOKENS = 4096  # of a forward pass, padding counted
_AT_ONCE = 8192  # texts that are tokenised, and sorted by length, together
_LONGEST_TOKEN = 64  # characters; longer texts are cut before they are tokenised
_MODULES = {"Transformer", "Pooling", "Normalize"}


@dataclass(frozen=True, slots=True)
class _Recipe:
    """How token vectors become a text's vector."""

    pooling: Literal["mean", "cls"]
    longest: int  # tokens, control tokens counted


class TextEncoder:
    """A sentence encoder, always in float32; safe to share between threads, which then take turns.

    Attributes:
        name: The name it was asked for by.
        fingerprint: What identifies its vectors: weights, pooling and length limit.
        dimension: Length of a vector.
    """

    def __init__(self, source: ModelSource, model: Any, tokenizer: Any) -> None:
        self.name = source.name
        self.dimension = int(model.config.hidden_size)
        self._recipe = _read_recipe(source.path, model.config)
        self.fingerprint = _fingerprint(source, self._recipe)
        self._model = model
        self._tokenizer = tokenizer
        self._lock = threading.Lock()

    @classmethod
    def load(cls, source: ModelSource, *, device: str = "auto") -> TextEncoder:
        """Load a resolved model.

        Raises:
            ModelError: It cannot be loaded, or pools in a way that is not known here.
        """
        model = load_pretrained(AutoModel, source, choose_device(device), torch.float32)
        return cls(source, model, load_tokenizer(source))

    def encode(self, texts: Sequence[str], *, progress: bool = False) -> NDArray[np.float32]:
        """Unit rows, float32 [len(texts), dimension], in the order of the texts.

        A text's vector depends on the other texts by rounding only (about 1e-7 in each number). `progress` shows a bar
        if stderr is a terminal.

        Raises:
            ModelError: A vector is not made of numbers.
        """
        vectors = np.zeros((len(texts), self.dimension), np.float32)
        with (
            self._lock,
            torch.inference_mode(),
            tqdm(total=len(texts), unit="texts", disable=None if progress else True, leave=False) as bar,
        ):
            for first in range(0, len(texts), _AT_ONCE):
                ids = self._tokenize(texts[first : first + _AT_ONCE])
                for batch in _batches([len(one) for one in ids]):
                    vectors[[first + place for place in batch]] = self._embed([ids[place] for place in batch])
                    bar.update(len(batch))
        if not np.isfinite(vectors).all():
            raise ModelError(f"{self.name} gave vectors that are not numbers", hint="use another text encoder")
        return vectors

    def _tokenize(self, texts: Sequence[str]) -> list[list[int]]:
        limit = self._recipe.longest
        heads = [text[: limit * _LONGEST_TOKEN] for text in texts]
        encoded = self._tokenizer(heads, truncation=True, max_length=limit, split_special_tokens=True)
        return [list(ids) for ids in encoded["input_ids"]]

    def _embed(self, ids: list[list[int]]) -> NDArray[np.float32]:
        padded = self._tokenizer.pad({"input_ids": ids}, padding_side="right", return_tensors="pt")
        padded = {name: rows.to(self._model.device) for name, rows in padded.items()}
        hidden = self._model(**padded).last_hidden_state
        if self._recipe.pooling == "cls":
            pooled = hidden[:, 0]
        else:
            mask = padded["attention_mask"][:, :, None].to(hidden.dtype)
            pooled = (hidden * mask).sum(dim=1) / mask.sum(dim=1)
        vectors: NDArray[np.float32] = torch.nn.functional.normalize(pooled, dim=1).cpu().numpy()
        return vectors


def _batches(lengths: list[int]) -> Iterator[list[int]]:
    """Places of texts of like length, longest first, so that a run that does not fit into memory fails at once."""
    order = sorted(range(len(lengths)), key=lambda place: -lengths[place])
    while order:
        size = max(1, _BATCH_TOKENS // max(1, lengths[order[0]]))
        yield order[:size]
        order = order[size:]


def _read_recipe(path: Path, config: Any) -> _Recipe:
    modules = {str(module["type"]).rpartition(".")[2] for module in _read_json(path / "modules.json", [])}
    if modules - _MODULES:
        raise ModelError(
            f"the text encoder in {path} has a {min(modules - _MODULES)} layer, which is not known here",
            hint="use a sentence encoder made of a transformer, pooling and normalisation",
        )
    limit = _read_json(path / "sentence_bert_config.json", {}).get("max_seq_length")
    longest = int(limit or getattr(config, "max_position_embeddings", 512))
    return _Recipe(_read_pooling(path), longest)


def _read_pooling(path: Path) -> Literal["mean", "cls"]:
    """Mean pooling where nothing is said, as sentence-transformers does."""
    stated = _read_json(path / "1_Pooling" / "config.json", {"pooling_mode_mean_tokens": True})
    chosen = {name for name, on in stated.items() if name.startswith("pooling_mode_") and on is True}
    if chosen == {"pooling_mode_mean_tokens"} or stated.get("pooling_mode") == "mean":
        return "mean"
    if chosen == {"pooling_mode_cls_token"} or stated.get("pooling_mode") == "cls":
        return "cls"
    raise ModelError(
        f"the text encoder in {path} pools by {', '.join(sorted(chosen)) or 'an unknown rule'}",
        hint="use one that pools by the mean or by the first token",
    )


def _read_json(path: Path, default: Any) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8")) if path.exists() else default
    except ValueError as error:
        raise ModelError(f"{path} is not JSON: {error}", hint="fetch the model again") from error


def _fingerprint(source: ModelSource, recipe: _Recipe) -> str:
    return hashlib.sha256(json.dumps([source.sha256, asdict(recipe)]).encode()).hexdigest()
