"""Many suffixes behind one prefix in a single sequence: pure functions on token ids.

    prefix | suffix 1 | suffix 2 | ...        positions: 0 .. p-1 | p .. | p .. | ...

Each suffix attends to the whole prefix and causally to itself, never to another suffix, and its positions go on where
the prefix ends. So every suffix is read exactly as if it alone followed the prefix, and the prefix is read once.
InvariRank (SIGIR 2026) uses the same mask.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

__all__ = ["Ids", "Pack", "canonical", "dense_mask", "in_passes", "pack", "pad"]

Ids = tuple[int, ...]
Integers = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Pack:
    """One packed sequence of T tokens and n suffixes.

    Args:
        ids: Token ids, [T].
        positions: Position of each token in its own prompt, [T].
        owners: 0 for the prefix, i for the i-th suffix counted from 1, [T].
        last: Row of each suffix's last token, [n].
    """

    ids: Integers
    positions: Integers
    owners: Integers
    last: Integers


def canonical(suffixes: Sequence[Sequence[int]]) -> tuple[list[Ids], Integers]:
    """The distinct suffixes in an order that does not depend on the given one, and where each given one stands there.

    Floating point sums depend on the arrangement; a fixed arrangement makes scores independent of the caller's, bit by
    bit.
    """
    distinct = sorted({tuple(suffix) for suffix in suffixes})
    places = {suffix: place for place, suffix in enumerate(distinct)}
    return distinct, np.array([places[tuple(suffix)] for suffix in suffixes], dtype=np.int64)


def in_passes(prefix: int, suffixes: Sequence[Ids], limit: int) -> Iterator[list[Ids]]:
    """Cut the suffixes, in order, into passes of at most `limit` tokens with the prefix's; one at least in each."""
    current: list[Ids] = []
    room = limit - prefix
    for suffix in suffixes:
        if current and len(suffix) > room:
            yield current
            current, room = [], limit - prefix
        current.append(suffix)
        room -= len(suffix)
    if current:
        yield current


def pack(prefix: Ids, suffixes: Sequence[Ids]) -> Pack:
    """Lay the prefix and the suffixes out in one sequence."""
    lengths = [len(suffix) for suffix in suffixes]
    start = len(prefix)
    return Pack(
        ids=np.array([*prefix, *(index for suffix in suffixes for index in suffix)], dtype=np.int64),
        positions=np.concatenate([np.arange(start), *(np.arange(start, start + length) for length in lengths)]),
        owners=np.repeat(np.arange(len(suffixes) + 1), [start, *lengths]),
        last=start + np.cumsum(lengths) - 1,
    )


def dense_mask(owners: Integers, dtype: torch.dtype, device: torch.device) -> torch.Tensor:
    """The additive attention mask of a pack, [1, 1, T, T]: 0 where a row may look, else the lowest number."""
    owner = torch.as_tensor(owners, device=device)
    allowed = ((owner[None, :] == 0) | (owner[None, :] == owner[:, None])).tril()
    mask = torch.zeros(allowed.shape, dtype=dtype, device=device)
    return mask.masked_fill_(~allowed, torch.finfo(dtype).min)[None, None]


def pad(prompts: Sequence[Ids]) -> tuple[Integers, Integers]:
    """Prompts as rows padded on the right, ids and mask (1: a token of the prompt), both [n, longest]."""
    longest = max(map(len, prompts))
    ids = np.zeros((len(prompts), longest), dtype=np.int64)
    mask = np.zeros_like(ids)
    for row, prompt in enumerate(prompts):
        ids[row, : len(prompt)] = prompt
        mask[row, : len(prompt)] = 1
    return ids, mask
