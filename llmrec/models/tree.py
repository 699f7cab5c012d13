"""Prompts that begin alike, as a tree that is read in one pass: pure functions on token ids.

    prefix ─┬─ branch ─┬─ candidate        A prompt is the ids from a root to a leaf; its answer is read at the
            │          └─ candidate        leaf's last token.
            └─ candidate

The nodes are laid out depth first in one sequence. Each token attends to the nodes above its own and to what stands
before it in its own node, never to another branch, and its position is that in its own prompt. So every prompt is read
exactly as if it stood alone, and what prompts share is read once. InvariRank (SIGIR 2026) uses the same mask for a
prefix and its candidates. A leaf may be a text instead: then it is asked how likely it is itself.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

__all__ = ["Ids", "Layout", "PromptTree", "canonical", "flat", "grouped", "lay_out", "pad", "parts"]

Ids = tuple[int, ...]
Integers = NDArray[np.int64]
Thing = TypeVar("Thing")


@dataclass(frozen=True, slots=True, order=True)
class PromptTree:
    """Token ids, and how prompts go on after them; where none does, an answer is read.

    Args:
        ids: Token ids.
        children: The trees that continue them.
        written: Of a leaf, whether it is a text: not an answer behind its ids is read, but how likely they are.
    """

    ids: Ids
    children: tuple[PromptTree, ...] = ()
    written: bool = False

    @property
    def tokens(self) -> int:
        """How many ids the whole tree has."""
        return len(self.ids) + sum(child.tokens for child in self.children)

    @property
    def leaves(self) -> int:
        """How many prompts it holds."""
        return sum(child.leaves for child in self.children) or 1

    @property
    def longest(self) -> int:
        """How many ids its longest prompt has."""
        return len(self.ids) + max((child.longest for child in self.children), default=0)

    def framed(self, start: Ids, end: Ids) -> PromptTree:
        """The same with ids before every prompt, and behind those that are answered."""
        children = tuple(child.framed((), end) for child in self.children)
        behind = () if children or self.written else end
        return PromptTree((*start, *self.ids, *behind), children, self.written)

    def prompts(self, before: Ids = ()) -> Iterator[Ids]:
        """Its prompts, as whole sequences."""
        so_far = before + self.ids
        if not self.children:
            yield so_far
        for child in self.children:
            yield from child.prompts(so_far)

    def ends(self) -> Iterator[PromptTree]:
        """Its leaves, in the order of the prompts."""
        if not self.children:
            yield self
        for child in self.children:
            yield from child.ends()


def flat(prefix: Iterable[int], suffixes: Iterable[Iterable[int]], *, written: bool = False) -> PromptTree:
    """One prefix and what continues it: questions, or texts."""
    return PromptTree(tuple(prefix), tuple(PromptTree(tuple(suffix), (), written) for suffix in suffixes))


def canonical(trees: Sequence[PromptTree]) -> tuple[list[PromptTree], Integers]:
    """The distinct trees in an order that does not depend on the given one, and where each given leaf stands there.

    Floating point sums depend on the arrangement; a fixed arrangement makes scores independent of the caller's, bit by
    bit.

    Returns:
        The trees, children in order too; and for each leaf of the given trees, in their order, the place of its like
        among the leaves of the returned ones, int64 [leaves].
    """
    arranged = [_arranged(tree) for tree in trees]
    distinct = sorted({tree for tree, _ in arranged})
    starts = dict(zip(distinct, np.cumsum([0, *(tree.leaves for tree in distinct)]).tolist(), strict=False))
    places = [starts[tree] + within for tree, within in arranged]
    return distinct, np.concatenate(places) if places else np.zeros(0, np.int64)


def _arranged(tree: PromptTree) -> tuple[PromptTree, Integers]:
    if not tree.children:
        return tree, np.zeros(1, np.int64)
    children, places = canonical(tree.children)
    return PromptTree(tree.ids, tuple(children)), places


def parts(tree: PromptTree, limit: int) -> Iterator[PromptTree]:
    """The tree cut between its children into parts of at most `limit` tokens, where it can be cut that small.

    The leaves keep their order; each part repeats the ids before its own.
    """
    if tree.tokens <= limit or not tree.children:
        yield tree
        return
    room = limit - len(tree.ids)
    smaller = [part for child in tree.children for part in parts(child, room)]
    for children in grouped(smaller, room, lambda part: part.tokens):
        yield PromptTree(tree.ids, tuple(children))


def grouped(things: Iterable[Thing], limit: int, size: Callable[[Thing], int]) -> Iterator[list[Thing]]:
    """Things in their order, in groups of at most `limit` together; what is larger has a group of its own."""
    current: list[Thing] = []
    room = limit
    for thing in things:
        if current and size(thing) > room:
            yield current
            current, room = [], limit
        current.append(thing)
        room -= size(thing)
    if current:
        yield current


@dataclass(frozen=True, slots=True)
class Layout:
    """Trees in one sequence of T tokens, depth first; rows are places in it.

    Args:
        ids: Token ids, [T].
        positions: Position of each token in its own prompt, [T].
        ends: For each token, the row behind everything that may attend to it, [T].
        inner: Nodes with something below them: first row, row behind the node, row behind all below it.
        leaves: First and last row of each leaf, [leaves, 2].
        written: Which leaves are texts, bool [leaves].
        roots: First row of each tree, and the row behind it.
    """

    ids: Integers
    positions: Integers
    ends: Integers
    inner: tuple[tuple[int, int, int], ...]
    leaves: Integers
    written: NDArray[np.bool_]
    roots: tuple[tuple[int, int], ...]

    @property
    def allowed(self) -> NDArray[np.bool_]:
        """Which row (first axis) may attend to which (second axis), bool [T, T]."""
        rows = np.arange(len(self.ids))
        seen: NDArray[np.bool_] = (rows[None, :] <= rows[:, None]) & (rows[:, None] < self.ends[None, :])
        return seen


def lay_out(trees: Sequence[PromptTree], starts: Sequence[int] | None = None) -> Layout:
    """Lay trees out in one sequence.

    Args:
        trees: The trees; every leaf has ids.
        starts: How many tokens stand before each tree, read elsewhere; None: none.
    """
    ids: list[int] = []
    positions: list[int] = []
    nodes: list[tuple[int, int, int]] = []  # first row, row behind the node, row behind all below it
    roots: list[tuple[int, int]] = []
    written: list[bool] = []

    def put(node: PromptTree, position: int) -> None:
        first, behind, place = len(ids), len(ids) + len(node.ids), len(nodes)
        nodes.append((first, behind, behind))
        ids.extend(node.ids)
        positions.extend(range(position, position + len(node.ids)))
        if not node.children:
            written.append(node.written)
        for child in node.children:
            put(child, position + len(node.ids))
        nodes[place] = (first, behind, len(ids))

    for tree, start in zip(trees, starts or [0] * len(trees), strict=True):
        first = len(ids)
        put(tree, start)
        roots.append((first, len(ids)))
    spans = np.array(nodes, dtype=np.int64)
    return Layout(
        np.array(ids, dtype=np.int64),
        np.array(positions, dtype=np.int64),
        ends=np.repeat(spans[:, 2], spans[:, 1] - spans[:, 0]),
        inner=tuple(node for node in nodes if node[0] < node[1] < node[2]),
        leaves=np.array([(first, behind - 1) for first, behind, end in nodes if behind == end], dtype=np.int64),
        written=np.array(written, dtype=np.bool_),
        roots=tuple(roots),
    )


def pad(prompts: Sequence[Ids]) -> tuple[Integers, Integers]:
    """Prompts as rows padded on the right, ids and mask (1: a token of the prompt), both [n, longest]."""
    longest = max(map(len, prompts))
    ids = np.zeros((len(prompts), longest), dtype=np.int64)
    mask = np.zeros_like(ids)
    for row, prompt in enumerate(prompts):
        ids[row, : len(prompt)] = prompt
        mask[row, : len(prompt)] = 1
    return ids, mask
