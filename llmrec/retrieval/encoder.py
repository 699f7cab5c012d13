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
from transformers import Phi3Config, Phi3Model
from transformers.models.phi3.modeling_phi3 import apply_rotary_pos_emb

from llmrec.config import EncoderSettings
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

    @classmethod
    def of(cls, settings: EncoderSettings) -> EncoderConfig:
        """The shape that the settings ask for; they ask for a network."""
        return cls(**settings.model_dump(include=set(cls.__slots__)))


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
        """States after each event, [users, events, dimension]; `items` are the item vectors.

        No state looks ahead, so none is touched by the padding, which comes last; the padding's own mean nothing.
        """
        states: Tensor = self.network(self._inputs(events, items))
        return states

    def _inputs(self, events: EventBatch, items: Tensor) -> Tensor:
        value = torch.stack([events.has_value, events.values], dim=-1)
        scaled = items[events.rows] * self.config.dimension**0.5
        inputs: Tensor = scaled + self.kinds(events.kinds) + self.gaps(events.gaps) + self.value(value)
        return inputs

    @torch.inference_mode()
    def read(self, events: EventArrays, items: Tensor) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """The newest state, float32 [dimension], and how much it attends to each event, float32 [len(events)].

        Attention is that of the last layer, mean over the heads; the weights sum to one.
        """
        state, weights = self.network.read(self._inputs(EventBatch.of([events], items.device), items))
        return state[0].float().cpu().numpy(), weights[0].float().cpu().numpy()


class _Attention(nn.Module):
    """A causal transformer with rotary positions (Su et al. 2021): how far apart two events are, not their places.

    On MovieLens-100K that is worth a sixth of N@10 over learned positions (LOG.md). Phi-3's layers are Llama's with
    dropout.
    """

    def __init__(self, config: EncoderConfig) -> None:
        super().__init__()
        shape = Phi3Config(
            vocab_size=1,
            max_position_embeddings=config.max_events,
            original_max_position_embeddings=config.max_events,
            hidden_size=config.dimension,
            intermediate_size=2 * config.dimension,
            num_hidden_layers=config.layers,
            num_attention_heads=config.heads,
            resid_pdrop=config.dropout,
            attention_dropout=0.0,  # drawing it costs a tenth of a step on the CPU
            pad_token_id=None,
            bos_token_id=None,
            eos_token_id=None,
        )
        self.drop = nn.Dropout(config.dropout)
        self.heads = config.heads
        self.model = Phi3Model(shape)
        self.model.embed_tokens = None  # inputs are item vectors, not tokens

    def forward(self, inputs: Tensor) -> Tensor:
        states: Tensor = self.model(inputs_embeds=self.drop(inputs), use_cache=False).last_hidden_state
        return states

    def read(self, inputs: Tensor) -> tuple[Tensor, Tensor]:
        """The newest state, [users, dimension], and its attention in the last layer, [users, events].

        The last layer is computed for the newest event alone. Its attention is made here from its own projections: the
        model gives it away in eager mode alone, and to switch a shared model's mode is not safe between threads.
        """
        states = self.drop(inputs)
        places = torch.arange(states.shape[1], device=states.device)[None]
        rotation = self.model.rotary_emb(states, position_ids=places)
        *below, last = self.model.layers
        for layer in below:
            states = layer(states, position_embeddings=rotation)
        projected = last.self_attn.qkv_proj(last.input_layernorm(states)).chunk(3, dim=-1)
        queries, keys, values = (part.unflatten(-1, (self.heads, -1)).transpose(1, 2) for part in projected)
        queries, keys = apply_rotary_pos_emb(queries, keys, *rotation)
        weights = (queries[:, :, -1:] @ keys.mT / queries.shape[-1] ** 0.5).softmax(dim=-1)
        newest = states[:, -1:] + last.self_attn.o_proj((weights @ values).transpose(1, 2).flatten(2))
        newest = newest + last.mlp(last.post_attention_layernorm(newest))
        return self.model.norm(newest)[:, 0], weights.mean(dim=1)[:, 0]


class _Gru(nn.Module):
    """A GRU whose newest state attends to all states before it."""

    def __init__(self, config: EncoderConfig) -> None:
        super().__init__()
        size = config.dimension
        self.drop = nn.Dropout(config.dropout)
        self.gru = nn.GRU(size, size, num_layers=config.layers, batch_first=True)
        self.query = nn.Linear(size, size, bias=False)
        self.join = nn.Linear(2 * size, size)

    def forward(self, inputs: Tensor) -> Tensor:
        states, _ = self.gru(self.drop(inputs))
        pooled = nn.functional.scaled_dot_product_attention(self.query(states), states, states, is_causal=True)
        return self._joined(states, pooled)

    def read(self, inputs: Tensor) -> tuple[Tensor, Tensor]:
        """The newest state, [users, dimension], and its attention, [users, events]."""
        states, _ = self.gru(self.drop(inputs))
        weights = (self.query(states[:, -1:]) @ states.mT / states.shape[-1] ** 0.5).softmax(dim=-1)
        return self._joined(states[:, -1:], weights @ states)[:, 0], weights[:, 0]

    def _joined(self, states: Tensor, pooled: Tensor) -> Tensor:
        joined: Tensor = self.join(self.drop(torch.cat([states, pooled], dim=-1)))
        return joined
