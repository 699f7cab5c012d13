from __future__ import annotations

import numpy as np
import torch

from llmrec.models.packing import canonical, dense_mask, in_passes, pack, pad


def test_each_suffix_sees_the_prefix_and_itself() -> None:
    packed = pack((7, 8), [(1,), (2, 3)])
    assert packed.ids.tolist() == [7, 8, 1, 2, 3]
    assert packed.positions.tolist() == [0, 1, 2, 2, 3]
    assert packed.last.tolist() == [2, 4]
    mask = dense_mask(packed.owners, torch.float32, torch.device("cpu"))
    assert (mask[0, 0] == 0).int().tolist() == [
        [1, 0, 0, 0, 0],
        [1, 1, 0, 0, 0],
        [1, 1, 1, 0, 0],
        [1, 1, 0, 1, 0],
        [1, 1, 0, 1, 1],
    ]


def test_canonical_order_is_the_same_for_every_order() -> None:
    given = [[3, 1], [2], [3], [2]]
    distinct, places = canonical(given)
    again, _ = canonical(given[::-1])
    assert distinct == again == [(2,), (3,), (3, 1)]
    assert [list(distinct[place]) for place in places] == given


def test_passes_are_cut_before_the_limit_and_lose_nothing() -> None:
    suffixes = [(1, 1), (2, 2, 2), (3,), (4,) * 20, (5,)]
    passes = list(in_passes(4, suffixes, 10))
    assert passes == [suffixes[:3], suffixes[3:4], suffixes[4:]]


def test_padding_is_on_the_right() -> None:
    ids, mask = pad([(1, 2, 3), (4,)])
    assert np.array_equal(ids, [[1, 2, 3], [4, 0, 0]])
    assert np.array_equal(mask, [[1, 1, 1], [1, 0, 0]])
