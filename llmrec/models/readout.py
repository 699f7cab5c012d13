"""Reading the answer: only the label rows of the head, in float32."""

from __future__ import annotations

from typing import Any

import torch

from llmrec.errors import ModelError

__all__ = ["Readout"]


class Readout:
    """The head of a causal language model, reduced to its two labels.

    The whole head would multiply every row with the whole vocabulary, and in bfloat16 its logits (about 14) would
    have steps of 1/16: more than many candidates differ by.

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
        with torch.autocast(hidden.device.type, enabled=False):  # it would round the logits again
            logits = hidden.float() @ self._head.weight[self._labels].float().T
        if self._head.bias is not None:
            logits = logits + self._head.bias[self._labels].float()
        logits = logits * self._scale
        return logits if self._cap is None else self._cap * torch.tanh(logits / self._cap)

    def odds(self, hidden: torch.Tensor) -> torch.Tensor:
        """logit(first label) - logit(second label), float32 [n]."""
        first, second = self.logits(hidden).unbind(-1)
        return first - second
