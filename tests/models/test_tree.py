from __future__ import annotations

import numpy as np
import pytest

from llmrec.models.tree import PromptTree, canonical, flat, grouped, lay_out, pad, parts

DEEP = PromptTree((7, 8), (PromptTree((1,), (PromptTree((2, 3)), PromptTree((4,)))), PromptTree((5, 6))))


def test_each_node_sees_what_is_above_it_and_itself() -> None:
    layout = lay_out([DEEP])
    assert layout.ids.tolist() == [7, 8, 1, 2, 3, 4, 5, 6]
    assert layout.positions.tolist() == [0, 1, 2, 3, 4, 3, 2, 3]
    assert layout.leaves.tolist() == [[3, 4], [5, 5], [6, 7]]
    assert layout.inner == ((0, 2, 8), (2, 3, 6))
    assert layout.allowed.astype(int).tolist() == [
        [1, 0, 0, 0, 0, 0, 0, 0],
        [1, 1, 0, 0, 0, 0, 0, 0],
        [1, 1, 1, 0, 0, 0, 0, 0],
        [1, 1, 1, 1, 0, 0, 0, 0],
        [1, 1, 1, 1, 1, 0, 0, 0],
        [1, 1, 1, 0, 0, 1, 0, 0],
        [1, 1, 0, 0, 0, 0, 1, 0],
        [1, 1, 0, 0, 0, 0, 1, 1],
    ]


def test_several_trees_do_not_see_each_other_and_go_on_where_their_contexts_end() -> None:
    layout = lay_out([flat((1,), [(2,)]), PromptTree((), (PromptTree((3, 4)),))], [0, 10])
    assert layout.positions.tolist() == [0, 1, 10, 11]
    assert layout.roots == ((0, 2), (2, 4))
    assert layout.inner == ((0, 1, 2),)
    assert not layout.allowed[2:, :2].any()


def test_a_tree_knows_its_prompts() -> None:
    assert list(DEEP.prompts()) == [(7, 8, 1, 2, 3), (7, 8, 1, 4), (7, 8, 5, 6)]
    assert (DEEP.tokens, DEEP.leaves, DEEP.longest) == (8, 3, 5)


def test_canonical_order_is_the_same_for_every_order_and_doubles_are_read_once() -> None:
    given = [flat([9], [[3, 1], [2], [3], [2]]), DEEP]
    distinct, places = canonical(given)
    turned = [PromptTree(tree.ids, tree.children[::-1]) for tree in given[::-1]]
    again, turned_places = canonical(turned)
    assert distinct == again
    prompts = [prompt for tree in distinct for prompt in tree.prompts()]
    assert len(prompts) == 6
    for trees, found in ((given, places), (turned, turned_places)):
        assert [prompts[place] for place in found] == [prompt for tree in trees for prompt in tree.prompts()]


def test_nothing_has_a_canonical_order_too() -> None:
    distinct, places = canonical([])
    assert distinct == []
    assert places.shape == (0,)


@pytest.mark.parametrize("limit", [1, 4, 5, 6, 7, 100])
def test_parts_keep_every_prompt_and_their_order(limit: int) -> None:
    cut = list(parts(DEEP, limit))
    assert [prompt for part in cut for prompt in part.prompts()] == list(DEEP.prompts())
    assert all(part.tokens <= limit or part.leaves == 1 for part in cut)
    assert (len(cut) == 1) == (limit >= DEEP.tokens)


def test_groups_are_cut_before_the_limit_and_lose_nothing() -> None:
    assert list(grouped([2, 3, 1, 20, 1], 6, lambda size: size)) == [[2, 3, 1], [20], [1]]
    assert list(grouped([], 6, lambda size: size)) == []


def test_padding_is_on_the_right() -> None:
    ids, mask = pad([(1, 2, 3), (4,)])
    assert np.array_equal(ids, [[1, 2, 3], [4, 0, 0]])
    assert np.array_equal(mask, [[1, 1, 1], [1, 0, 0]])
