"""Attention over a tree of prompts, in parts that are merged: what transformers' layers call while a tree is read.

A token's attention over its own node and over each node above it are computed apart, each without a mask, and merged by
the log-sum-exp of their scores, which is exact (Milakov and Gimelshein's online softmax, 2018; Hydragen, 2024, does so
for a prefix and its continuations). Nothing is computed for pairs of tokens that do not see each other, and keys and
values of what was read before are taken from where they are kept.

Importing this module makes the function known to transformers under `NAME`; without a tree it is torch's own attention.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor
from transformers.integrations.sdpa_attention import repeat_kv, sdpa_attention_forward
from transformers.masking_utils import AttentionMaskInterface, sdpa_mask
from transformers.modeling_utils import AttentionInterface

from llmrec.models.tree import Layout

__all__ = ["NAME", "KeysValues", "TreePass", "merge", "tree_attention"]

NAME = "llmrec_tree"

KeysValues = tuple[Tensor, Tensor]
"""Of one layer, each [1, key heads, tokens, width], with their positions in them."""

_SHORT = 64
"""A leaf of so many tokens is never too long to be padded to."""

_UNKNOWN = ("softcap", "s_aux", "position_bias")
"""What some models ask of their attention and this one does not do."""


@dataclass(slots=True)
class TreePass:
    """One forward pass over trees, as the layers need it.

    Args:
        layout: The trees in one sequence.
        device: Where the model computes.
        contexts: For each tree, the keys and values of what stands before it, a pair for each layer; None: nothing.
        keep: Whether to collect the keys and values of every tree's rows.
        kept: What was collected: for each layer in turn, the pair of all rows.
    """

    layout: Layout
    device: torch.device
    contexts: tuple[list[KeysValues] | None, ...]
    keep: bool = False
    kept: list[KeysValues] = field(default_factory=list)
    nodes: tuple[tuple[int, int], ...] = field(init=False)
    leaves: int = field(init=False)
    padded: Tensor = field(init=False)
    unpadded: Tensor = field(init=False)
    rows: Tensor = field(init=False)

    def __post_init__(self) -> None:
        """Find the rows of each node.

        Leaves are many and short, so they are a batch padded on the right: the row for each cell, the cells that are a
        row, and their rows. Inner nodes, and leaves so long that the padding would be, are taken one by one.
        """
        lengths = self.layout.leaves[:, 1] - self.layout.leaves[:, 0] + 1
        short = lengths <= max(_SHORT, 2 * float(np.median(lengths)))
        long = [(first, last + 1) for first, last in self.layout.leaves[~short].tolist()]
        self.nodes = (*((first, behind) for first, behind, _ in self.layout.inner), *long)
        first, last = self.layout.leaves[short].T
        steps = np.arange(int(lengths[short].max(initial=0)))
        rows = np.minimum(first[:, None] + steps, last[:, None]).reshape(-1)
        cells = np.flatnonzero(first[:, None] + steps <= last[:, None])
        self.leaves = len(first)
        self.padded, self.unpadded, self.rows = (
            torch.as_tensor(each, device=self.device) for each in (rows, cells, rows[cells])
        )


def tree_attention(
    module: torch.nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    *,
    scaling: float | None = None,
    dropout: float = 0.0,
    tree: TreePass | None = None,
    **others: Any,
) -> tuple[Tensor, None]:
    """One layer's attention, [1, T, heads, width], for transformers' AttentionInterface.

    Args:
        module: The layer's attention.
        query: [1, heads, T, width].
        key: [1, key heads, T, width].
        value: [1, key heads, T, width].
        attention_mask: Read only without a tree.
        scaling: Of the scores; None: 1 / sqrt(width).
        dropout: Read only without a tree.
        tree: What the rows are; None: a batch of sequences.
        others: What else the model gives.

    Raises:
        RuntimeError: The model's attention does something that is not done here.
    """
    if tree is None:
        given = {"dropout": dropout, "scaling": scaling, **others}
        out, _ = sdpa_attention_forward(module, query, key, value, attention_mask, **given)
        return out, None
    if torch.is_grad_enabled() and query.requires_grad:
        raise RuntimeError("no gradient flows through the parts' log-sum-exps: read under a mask to train")
    strange = [name for name in _UNKNOWN if others.get(name) is not None]
    if strange:
        raise RuntimeError(f"its attention has {strange[0]}")
    layer = int(module.layer_idx)  # type: ignore[arg-type]
    if tree.keep:
        if layer != len(tree.kept):
            raise RuntimeError("its layers are not called one after the other")
        tree.kept.append((key, value))
    merged, weight = _own_nodes(scaling, query, key, value, tree)
    for first, behind, end in tree.layout.inner:
        part = _attend(scaling, query[:, :, behind:end], key[:, :, first:behind], value[:, :, first:behind])
        merge(merged[behind:end], weight[behind:end], part)
    for (first, end), context in zip(tree.layout.roots, tree.contexts, strict=True):
        if context is not None:
            merge(merged[first:end], weight[first:end], _attend(scaling, query[:, :, first:end], *context[layer]))
    return merged[None].to(query.dtype), None


def merge(out: Tensor, weight: Tensor, part: tuple[Tensor, Tensor]) -> None:
    """Take another part of the attention into account, in place.

    Args:
        out: Attention over what was looked at so far, [rows, heads, width].
        weight: Its log-sum-exp, float32 [rows, heads].
        part: The same two, over other tokens.
    """
    other, other_weight = part
    share = torch.sigmoid(other_weight - weight)[..., None].to(out.dtype)
    out.lerp_(other.to(out.dtype), share)
    torch.logaddexp(weight, other_weight, out=weight)


def _own_nodes(
    scaling: float | None, query: Tensor, key: Tensor, value: Tensor, tree: TreePass
) -> tuple[Tensor, Tensor]:
    """Each row's attention over its own node, float32 [T, heads, width], and its log-sum-exp, [T, heads]."""
    # The leaves are many and short: one batch, padded on the right, where no row sees the padding.
    padded = (each[0].transpose(0, 1).index_select(0, tree.padded) for each in (query, key, value))
    batch = (each.view(tree.leaves, -1, *each.shape[1:]).transpose(1, 2) for each in padded)
    out, weight = (
        each.flatten(0, 1).index_select(0, tree.unpadded) for each in _attend(scaling, *batch, causal=True, batch=True)
    )
    if not tree.nodes:
        return out.float(), weight
    whole = torch.empty(query.shape[2], *out.shape[1:], dtype=torch.float32, device=out.device)
    weights = torch.empty(whole.shape[:2], dtype=torch.float32, device=out.device)
    whole[tree.rows], weights[tree.rows] = out.float(), weight
    for first, behind in tree.nodes:
        rows = slice(first, behind)
        of_node = (each[:, :, rows] for each in (query, key, value))
        whole[rows], weights[rows] = _attend(scaling, *of_node, causal=True)
    return whole, weights


def _attend(
    scaling: float | None, query: Tensor, key: Tensor, value: Tensor, *, causal: bool = False, batch: bool = False
) -> tuple[Tensor, Tensor]:
    """Attention of rows over tokens, [rows, heads, width], and its log-sum-exp, float32 [rows, heads].

    Args:
        scaling: Of the scores; None: 1 / sqrt(width).
        query: [n, heads, rows, width].
        key: [n, key heads, tokens, width].
        value: [n, key heads, tokens, width].
        causal: Whether a row sees no token behind its own.
        batch: Whether to keep the first axis; else n is 1, and it is left out.
    """
    shape, groups = query.shape, query.shape[1] // key.shape[1]
    if causal:
        key, value = repeat_kv(key, groups), repeat_kv(value, groups)
    else:  # heads that share keys are so many more rows
        query = query.reshape(shape[0], key.shape[1], groups * shape[2], shape[3])
    # These are torch's own attention, called where they also return the log-sum-exp.
    if query.device.type == "cpu":
        out, weight = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu(
            query, key, value, 0.0, causal, scale=scaling
        )
    elif query.device.type == "cuda":
        out, weight, *_ = torch.ops.aten._scaled_dot_product_efficient_attention(
            query, key, value, None, True, 0.0, causal, scale=scaling
        )
        weight = weight[:, :, : query.shape[2]]  # it is padded
    else:
        raise RuntimeError(f"there is no such attention on {query.device.type}")
    out, weight = out.reshape(shape).transpose(1, 2), weight.reshape(shape[:3]).transpose(1, 2).float()
    return (out, weight) if batch else (out[0], weight[0])


AttentionInterface.register(NAME, tree_attention)
AttentionMaskInterface.register(NAME, sdpa_mask)
