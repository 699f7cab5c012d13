"""Compiling what lies between a model's attentions, by torch's inductor."""

from __future__ import annotations

from typing import Any

from llmrec.models.turns import blocks_of

__all__ = ["compile_blocks"]


def compile_blocks(model: Any) -> None:
    """Fuse the norms and the feed-forward part of every block, for any number of tokens; compiled when first called.

    Attention stays as it is: its parts differ from request to request.
    """
    for block in blocks_of(model):
        for name, part in block.named_children():
            if "attn" not in name and "attention" not in name:
                part.compile(dynamic=True)
