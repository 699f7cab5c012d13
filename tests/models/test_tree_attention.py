"""Attention over a tree, in parts, is attention under the tree's mask."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from torch.nn.functional import scaled_dot_product_attention

from llmrec.models.attention import TreePass, merge, tree_attention
from llmrec.models.tree import PromptTree, flat, lay_out

HEADS, KEY_HEADS, WIDTH = 6, 2, 8
LAYER: Any = SimpleNamespace(layer_idx=0, num_key_value_groups=HEADS // KEY_HEADS, is_causal=True)
CPU = torch.device("cpu")


def random_tree(generator: np.random.Generator, depth: int) -> PromptTree:
    ids = tuple(range(int(generator.integers(1, 9))))
    children = int(generator.integers(1, 4)) if depth else 0
    return PromptTree(ids, tuple(random_tree(generator, int(generator.integers(depth))) for _ in range(children)))


def random_rows(tokens: int, generator: torch.Generator) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    shapes = [(1, heads, tokens, WIDTH) for heads in (HEADS, KEY_HEADS, KEY_HEADS)]
    query, key, value = (torch.randn(shape, generator=generator) for shape in shapes)
    return query, key, value


@pytest.mark.parametrize("seed", range(12))
def test_it_is_what_the_mask_would_give(seed: int) -> None:
    numbers, generator = np.random.default_rng(seed), torch.Generator().manual_seed(seed)
    trees = [random_tree(numbers, depth) for depth in (0, 1, 3)]
    before = [0, 7, 0]
    layout = lay_out(trees, before)
    query, key, value = random_rows(len(layout.ids), generator)
    context = random_rows(7, generator)[1:]

    found, _ = tree_attention(
        LAYER, query, key, value, None, scaling=0.3, tree=TreePass(layout, CPU, (None, [context], None))
    )

    whole_key, whole_value = (torch.cat(pair, dim=2) for pair in zip(context, (key, value), strict=True))
    rows = np.arange(len(layout.ids))
    first, behind = layout.roots[1]
    sees_context = np.repeat(((rows >= first) & (rows < behind))[:, None], 7, axis=1)
    mask = torch.from_numpy(np.concatenate([sees_context, layout.allowed], axis=1))
    expected = scaled_dot_product_attention(query, whole_key, whole_value, mask, scale=0.3, enable_gqa=True)
    torch.testing.assert_close(found, expected.transpose(1, 2), rtol=1e-5, atol=1e-5)


def test_one_long_leaf_among_short_ones_makes_no_padding() -> None:
    layout = lay_out([flat((1, 2), [(3,) * 5, (4,) * 200, (5,) * 7])])
    query, key, value = random_rows(len(layout.ids), torch.Generator().manual_seed(0))
    tree = TreePass(layout, CPU, (None,))
    assert len(tree.padded) == 2 * 7
    found, _ = tree_attention(LAYER, query, key, value, None, tree=tree)
    mask = torch.from_numpy(layout.allowed)
    expected = scaled_dot_product_attention(query, key, value, mask, enable_gqa=True)
    torch.testing.assert_close(found, expected.transpose(1, 2), rtol=1e-5, atol=1e-5)


def test_merged_parts_are_the_attention_over_all() -> None:
    generator = torch.Generator().manual_seed(0)
    query, key, value = random_rows(30, generator)
    scores = (query @ key.repeat_interleave(3, dim=1).mT).squeeze(0)
    value = value.repeat_interleave(3, dim=1)[0]

    def part(tokens: slice) -> tuple[torch.Tensor, torch.Tensor]:
        some = scores[:, :, tokens]
        out = (some.softmax(dim=-1) @ value[:, tokens]).transpose(0, 1)
        return out.contiguous(), some.logsumexp(dim=-1).T.contiguous()

    out, weight = part(slice(0, 4))
    merge(out, weight, part(slice(4, 5)))
    merge(out, weight, part(slice(5, 30)))
    whole, whole_weight = part(slice(0, 30))
    torch.testing.assert_close(out, whole)
    torch.testing.assert_close(weight, whole_weight)


def test_keys_and_values_are_collected_on_demand() -> None:
    layout = lay_out([flat((1, 2), [(3,), (4, 5)])])
    query, key, value = random_rows(5, torch.Generator().manual_seed(0))
    tree = TreePass(layout, CPU, (None,), keep=True)
    tree_attention(LAYER, query, key, value, None, tree=tree)
    assert len(tree.kept) == 1
    assert torch.equal(tree.kept[0][0], key)
    assert torch.equal(tree.kept[0][1], value)
    with pytest.raises(RuntimeError, match="one after the other"):
        tree_attention(LAYER, query, key, value, None, tree=tree)


@pytest.mark.parametrize("name", ["softcap", "s_aux", "position_bias"])
def test_what_other_kinds_of_attention_do_is_refused_not_left_out(name: str) -> None:
    layout = lay_out([flat((1, 2), [(3,)])])
    rows = random_rows(3, torch.Generator().manual_seed(0))
    with pytest.raises(RuntimeError, match=name):
        tree_attention(LAYER, *rows, None, tree=TreePass(layout, CPU, (None,)), **{name: 1.0})


def test_a_gradient_that_would_be_wrong_is_refused() -> None:
    layout = lay_out([flat((1, 2), [(3,)])])
    query, key, value = random_rows(3, torch.Generator().manual_seed(0))
    tree = TreePass(layout, CPU, (None,))
    with pytest.raises(RuntimeError, match="no gradient"):
        tree_attention(LAYER, query.requires_grad_(), key, value, None, tree=tree)
    with torch.no_grad():
        tree_attention(LAYER, query, key, value, None, tree=tree)


def test_without_a_tree_it_is_torchs_own() -> None:
    query, key, value = random_rows(9, torch.Generator().manual_seed(0))
    found, _ = tree_attention(LAYER, query, key, value, None)
    expected = scaled_dot_product_attention(query, key, value, is_causal=True, enable_gqa=True)
    torch.testing.assert_close(found, expected.transpose(1, 2))
