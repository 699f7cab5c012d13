"""What a causal language model writes behind a prompt, and how likely it would write a given text there."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from transformers import GenerationConfig

from llmrec.models.tree import pad

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
    """The log chance of each continuation behind its prompt, summed over its tokens, float64 [texts].

    Continuations of one prompt that follow each other are read together, behind the prompt, which is read once.
    """
    together = groupby(texts, key=lambda one: tuple(one[0]))
    found = [_behind(model, prompt, [tuple(written) for _, written in some]) for prompt, some in together]
    return np.concatenate(found) if found else np.zeros(0)


def _behind(model: Any, prompt: Sequence[int], written: Sequence[tuple[int, ...]]) -> NDArray[np.float64]:
    asked = torch.as_tensor(list(prompt), device=model.device)[None]
    read = model(input_ids=asked, use_cache=True, logits_to_keep=1)
    ids, mask = (torch.as_tensor(rows, device=model.device) for rows in pad(written))
    first = read.logits[0, -1:].float().log_softmax(dim=-1)
    told = [first.expand(len(written), -1).gather(1, ids[:, :1]) * mask[:, :1]]
    if ids.shape[1] > 1:
        read.past_key_values.batch_repeat_interleave(len(written))
        seen = torch.cat([torch.ones(len(written), len(prompt), dtype=mask.dtype, device=mask.device), mask], dim=1)
        rows = model(input_ids=ids[:, :-1], attention_mask=seen[:, :-1], past_key_values=read.past_key_values)
        told.append(rows.logits.float().log_softmax(dim=-1).gather(2, ids[:, 1:, None])[..., 0] * mask[:, 1:])
    return torch.cat(told, dim=1).sum(dim=1).double().cpu().numpy()
