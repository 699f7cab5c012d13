"""The sequence encoder: an item's vector from its text and its id, a user's vector from attention over their events.

    item vector = W · text vector + id vector        (the id vector dropped at random in training)
    user vector = state of a causal transformer after the newest event
    score       = user vector · item vector, the logit of "this item is taken next"

Kang and McAuley's SASRec (2018) with text and event features; trained in `training`. An item that was never seen in
training has no id vector and works from its text alone. The second encoder is a GRU with attention pooling over its
states (Li et al.'s NARM, 2017), behind the same interface.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from transformers import GPT2Config, GPT2Model

from llmrec.retrieval.sequences import GAP_BUCKETS, EventArrays

__all__ = ["EncoderConfig", "EventBatch", "SequenceEncoder"]


@dataclass(frozen=True, slots=True)
class EncoderConfig:
    """The shape of an encoder.

    Args:
        network: attention, or gru.
        dimension: Length of item and user vectors.
        layers: Depth of the network.
        heads: Attention heads.
        max_events: How many of the newest events are read.
        dropout: Share of the hidden numbers dropped in training.
        id_dropout: Share of the items that are seen by their text alone in a training step.
    """

    network: Literal["attention", "gru"] = "attention"
    dimension: int = 96
    layers: int = 2
    heads: int = 2
    max_events: int = 200
    dropout: float = 0.3
    id_dropout: float = 0.1


@dataclass(frozen=True, slots=True)
class EventBatch:
    """Events of several users, padded on the right: tensors [users, events], `mask` 1 where there is one."""

    rows: Tensor
    kinds: Tensor
    values: Tensor
    has_value: Tensor
    gaps: Tensor
    mask: Tensor

    @classmethod
    def of(cls, users: Sequence[EventArrays], device: torch.device | str = "cpu") -> EventBatch:
        """Pad the arrays of several users to the longest."""
        longest = max(len(user) for user in users)

        def padded(name: str) -> Tensor:
            parts = [getattr(user, name) for user in users]
            return torch.from_numpy(np.stack([np.pad(part, (0, longest - len(part))) for part in parts])).to(device)

        mask = np.arange(longest)[None] < np.array([[len(user)] for user in users])
        return cls(
            padded("rows"), padded("kinds"), padded("values"), padded("has_value"), padded("gaps"),
            torch.from_numpy(mask).to(device),
        )  # fmt: skip


class SequenceEncoder(nn.Module):
    """Turns items and behaviour into vectors of one space.

    Args:
        config: The shape.
        items: How many items have an id vector of their own.
        text_dimension: Length of the text vectors.
        kinds: How many kinds of events there are.
    """

    def __init__(self, config: EncoderConfig, *, items: int, text_dimension: int, kinds: int) -> None:
        super().__init__()
        size = config.dimension
        self.config = config
        self.ids = nn.Embedding(items, size)
        self.project = nn.Linear(text_dimension, size, bias=False)
        self.kinds = nn.Embedding(kinds + 1, size)
        self.gaps = nn.Embedding(GAP_BUCKETS, size)
        self.value = nn.Linear(2, size, bias=False)
        self.network = _Attention(config) if config.network == "attention" else _Gru(config)
        for table in (self.ids, self.project):
            nn.init.normal_(table.weight, std=0.02)
        for feature in (self.kinds, self.gaps, self.value):
            nn.init.zeros_(feature.weight)

    def item_vectors(self, texts: Tensor) -> Tensor:
        """Vectors of all items, [n, dimension], from their text vectors [n, text_dimension].

        Items beyond those with an id vector (they came after training) are made of their text alone.
        """
        ids = self.ids.weight
        if self.training and self.config.id_dropout > 0:
            ids = ids * (torch.rand(len(ids), 1, device=ids.device) >= self.config.id_dropout)
        vectors: Tensor = self.project(texts)
        return torch.cat([vectors[: len(ids)] + ids, vectors[len(ids) :]])

    def forward(self, events: EventBatch, items: Tensor) -> Tensor:
        """States after each event, [users, events, dimension]; `items` are the item vectors."""
        states: Tensor = self.network(self._inputs(events, items), events.mask)
        return states

    def _inputs(self, events: EventBatch, items: Tensor) -> Tensor:
        value = torch.stack([events.has_value, events.values], dim=-1)
        scaled = items[events.rows] * self.config.dimension**0.5
        inputs: Tensor = scaled + self.kinds(events.kinds) + self.gaps(events.gaps) + self.value(value)
        return inputs

    @torch.inference_mode()
    def attention(self, events: EventArrays, items: Tensor) -> NDArray[np.float32]:
        """How much the newest state attends to each event, float32 [len(events)]: last layer, mean over the heads.

        Weights sum to one; events beyond `max_events` get zero.
        """
        newest = EventBatch.of([events[-self.config.max_events :]], items.device)
        weights = self.network.weights(self._inputs(newest, items))[0].float().cpu().numpy()
        return np.concatenate([np.zeros(len(events) - len(weights), np.float32), weights])


class _Attention(nn.Module):
    """A causal transformer with learned positions."""

    def __init__(self, config: EncoderConfig) -> None:
        super().__init__()
        shape = GPT2Config(
            vocab_size=1,
            n_positions=config.max_events,
            n_embd=config.dimension,
            n_layer=config.layers,
            n_head=config.heads,
            n_inner=2 * config.dimension,
            activation_function="gelu",
            embd_pdrop=config.dropout,
            resid_pdrop=config.dropout,
            attn_pdrop=0.0,  # drawing it costs a tenth of a step on the CPU
            bos_token_id=None,
            eos_token_id=None,
        )
        self.model = GPT2Model(shape)
        self.model.wte.requires_grad_(False)  # inputs are item vectors, not tokens

    def forward(self, inputs: Tensor, mask: Tensor) -> Tensor:
        states: Tensor = self.model(inputs_embeds=inputs, attention_mask=mask, use_cache=False).last_hidden_state
        return states

    def weights(self, inputs: Tensor) -> Tensor:
        before = self.model.config._attn_implementation
        self.model.set_attn_implementation("eager")  # the only one that gives its weights away
        try:
            attentions = self.model(inputs_embeds=inputs, output_attentions=True).attentions
        finally:
            self.model.set_attn_implementation(before)
        last: Tensor = attentions[-1][:, :, -1].mean(dim=1)
        return last


class _Gru(nn.Module):
    """A GRU whose newest state attends to all states before it."""

    def __init__(self, config: EncoderConfig) -> None:
        super().__init__()
        size = config.dimension
        self.drop = nn.Dropout(config.dropout)
        self.gru = nn.GRU(size, size, num_layers=config.layers, batch_first=True)
        self.query = nn.Linear(size, size, bias=False)
        self.join = nn.Linear(2 * size, size)

    def forward(self, inputs: Tensor, mask: Tensor) -> Tensor:  # noqa: ARG002 - padding comes last and nothing looks ahead
        states, _ = self.gru(self.drop(inputs))
        pooled = nn.functional.scaled_dot_product_attention(self.query(states), states, states, is_causal=True)
        joined: Tensor = self.join(self.drop(torch.cat([states, pooled], dim=-1)))
        return joined

    def weights(self, inputs: Tensor) -> Tensor:
        states, _ = self.gru(inputs)
        scores = (self.query(states[:, -1:]) @ states.mT)[:, 0] / states.shape[-1] ** 0.5
        weights: Tensor = scores.softmax(dim=-1)
        return weights
