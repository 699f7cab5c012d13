"""Forward passes over prompts that end where an answer is read."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

from llmrec.models.packing import Ids, dense_mask, pack, pad
from llmrec.models.readout import Readout

__all__ = ["AnswerReader"]


class AnswerReader:
    """A model and its head: token ids in, log-odds out, one forward pass a call.

    Args:
        model: A causal language model of transformers, ready for inference.
        labels: Token ids of the two answers.

    Raises:
        ModelError: The model's head is of an unknown kind.
    """

    def __init__(self, model: Any, labels: tuple[int, int]) -> None:
        self.model = model
        self.labels = list(labels)
        self.readout = Readout(model, self.labels)

    def read_packed(self, prefix: Ids, suffixes: Sequence[Ids]) -> torch.Tensor:
        """All suffixes in one sequence behind their prefix, float32 [n]."""
        packed = pack(prefix, suffixes)
        device = self.model.device
        hidden = self.model.base_model(
            input_ids=torch.as_tensor(packed.ids, device=device)[None],
            position_ids=torch.as_tensor(packed.positions, device=device)[None],
            attention_mask=dense_mask(packed.owners, self.model.dtype, device),
            use_cache=False,
        ).last_hidden_state
        return self.readout.odds(hidden[0, torch.as_tensor(packed.last, device=device)])

    def read_each(self, prompts: Sequence[Ids]) -> torch.Tensor:
        """One prompt a row, float32 [n]."""
        ids, mask = (torch.as_tensor(rows, device=self.model.device) for rows in pad(prompts))
        hidden = self.model.base_model(input_ids=ids, attention_mask=mask, use_cache=False).last_hidden_state
        last = mask.sum(dim=1) - 1
        return self.readout.odds(hidden[torch.arange(len(prompts), device=last.device), last])
