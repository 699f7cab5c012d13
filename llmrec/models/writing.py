"""What a causal language model writes behind a prompt, and how likely it would write a given text there."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from transformers import GenerationConfig

__all__ = ["log_likelihoods", "write"]


def write(model: Any, prompt: Sequence[int], most: int, ends: frozenset[int]) -> list[int]:
    """The likeliest tokens behind a prompt, one after the other, up to the first that ends a text.

    Args:
        model: A causal language model of transformers.
        prompt: Token ids, what the tokenizer puts before a text among them.
        most: Write no more tokens than these.
        ends: Tokens that end a text; none of them is returned.
    """
    asked = torch.as_tensor(list(prompt), device=model.device)[None]
    wanted = GenerationConfig(
        max_new_tokens=most, do_sample=False, eos_token_id=sorted(ends) or None, pad_token_id=min(ends, default=0)
    )
    whole = model.generate(asked, attention_mask=torch.ones_like(asked), generation_config=wanted)[0].tolist()
    written = [int(index) for index in whole[len(prompt) :]]
    return written[: next((place for place, index in enumerate(written) if index in ends), len(written))]


def log_likelihoods(model: Any, texts: Sequence[tuple[Sequence[int], Sequence[int]]]) -> NDArray[np.float64]:
    """The log chance of each continuation behind its prompt, summed over its tokens, float64 [texts]."""
    return np.array([float(_log_likelihood(model, *text)) for text in texts])


def _log_likelihood(model: Any, prompt: Sequence[int], written: Sequence[int]) -> Tensor:
    ids = torch.as_tensor([*prompt, *written], device=model.device)[None]
    rows = len(written) + 1  # the row before each token foretells it; that of the last one nothing that was written
    logits = model(input_ids=ids, use_cache=False, logits_to_keep=rows).logits[0, -rows:-1].float()
    told: Tensor = logits.log_softmax(dim=-1).gather(1, ids[0, len(prompt) :, None]).sum()
    return told
