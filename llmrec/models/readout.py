"""Reading the answer, only the label rows of the head; or how likely a text is. Both in float32."""

from __future__ import annotations

from typing import Any

import torch
from torch.nn.functional import cross_entropy

from llmrec.errors import ModelError

__all__ = ["Readout"]

_ROWS = 256
"""Rows whose logits over the whole vocabulary are in memory at once."""


class Readout:
    """The head of a causal language model: its two labels, or its whole vocabulary.

    For an answer the whole head would multiply every row with the whole vocabulary, and in bfloat16 its logits (about
    14) would have steps of 1/16: more than many candidates differ by.

    Raises:
        ModelError: The head is not a linear layer.
    """

    def __init__(self, model: Any, labels: list[int]) -> None:
        head, config = model.get_output_embeddings(), model.config
        if not isinstance(head, torch.nn.Linear):
            raise ModelError(
                f"{config.model_type} has no linear head to read answers from", hint="use a causal language model"
            )
        self._labels = labels
        self._head = head
        # Known ways in which models bend their logits: Granite and Cohere scale them, Gemma caps them.
        self._scale = float(getattr(config, "logit_scale", None) or 1) / float(
            getattr(config, "logits_scaling", None) or 1
        )
        self._cap = getattr(config, "final_logit_softcapping", None)

    def logits(self, hidden: torch.Tensor) -> torch.Tensor:
        """The two label logits of hidden rows [n, width], float32 [n, 2]."""
        bias = self._head.bias
        return self._bent(hidden, self._head.weight[self._labels], None if bias is None else bias[self._labels])

    def likelihoods(self, hidden: torch.Tensor, ids: torch.Tensor) -> torch.Tensor:
        """The log chance that each id [n] comes after its hidden row [n, width], float32 [n]."""
        weight = self._head.weight.float()  # once: a copy for each part would be kept for the gradients
        parts = zip(torch.split(hidden, _ROWS), torch.split(ids, _ROWS), strict=True)
        logits = ((self._bent(rows, weight, self._head.bias), some) for rows, some in parts)
        return torch.cat([-cross_entropy(bent, some, reduction="none") for bent, some in logits])

    def _bent(self, hidden: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None) -> torch.Tensor:
        with torch.autocast(hidden.device.type, enabled=False):  # it would round the logits again
            logits = hidden.float() @ weight.float().T
        if bias is not None:
            logits = logits + bias.float()
        logits = logits * self._scale
        return logits if self._cap is None else self._cap * torch.tanh(logits / self._cap)

    def odds(self, hidden: torch.Tensor) -> torch.Tensor:
        """logit(first label) - logit(second label), float32 [n]."""
        first, second = self.logits(hidden).unbind(-1)
        return first - second
