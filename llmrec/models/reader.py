"""Forward passes over prompts that end where an answer is read."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import chain, groupby
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from llmrec.models.attention import KeysValues, TreePass
from llmrec.models.readout import Readout
from llmrec.models.states import PrefixStates, Read
from llmrec.models.tree import Ids, Integers, Layout, PromptTree, grouped, lay_out, pad, parts

__all__ = ["AnswerReader"]

_AT_ONCE = 4


class AnswerReader:
    """A model and its head: prompts in; out log-odds, or how likely texts are.

    Args:
        model: A causal language model of transformers, ready for inference.
        labels: Token ids of the two answers.
        batch_tokens: Longest forward pass, in tokens, where prompts can be cut into several.
        states: Prefixes that were read before.

    Raises:
        ModelError: The model's head is of an unknown kind.
    """

    def __init__(self, model: Any, labels: tuple[int, int], batch_tokens: int, states: PrefixStates) -> None:
        self.model = model
        self.labels = list(labels)
        self.readout = Readout(model, self.labels)
        self.states = states
        self.batch_tokens = batch_tokens

    def forgetful(self) -> AnswerReader:
        """The same, keeping nothing of what was read."""
        return AnswerReader(self.model, (self.labels[0], self.labels[1]), self.batch_tokens, PrefixStates(0))

    def read_tree(self, trees: Sequence[PromptTree], weights: str | None = None) -> Tensor:
        """Every prompt's answer, float32 [leaves]: what is shared is read once, and not again if it was before.

        A tree's first ids are read apart from what follows, so that the next request with the same ones, which are
        kept, gets the same bits.

        Args:
            trees: The prompts, those of several users among them.
            weights: Names the weights that the model has now; what was read with others is not used.
        """
        trees = [tree if tree.children else PromptTree((), (tree,)) for tree in trees]
        # The keys and values of a group's prefixes are in memory together.
        groups = grouped(trees, _AT_ONCE * self.batch_tokens, lambda tree: tree.tokens)
        return torch.cat([self._read_group(group, weights) for group in groups])

    def _read_group(self, trees: Sequence[PromptTree], weights: str | None) -> Tensor:
        before = self._read_prefixes([tree.ids for tree in trees], weights)
        pieces = (
            (place, part)
            for place, tree in enumerate(trees)
            for child in tree.children
            for part in parts(child, self.batch_tokens)
        )
        odds = []
        for group in grouped(pieces, self.batch_tokens, lambda piece: piece[1].tokens):
            by_root = [
                (place, tuple(part for _, part in of_one)) for place, of_one in groupby(group, lambda one: one[0])
            ]
            layout = lay_out([PromptTree((), some) for _, some in by_root], [len(trees[one].ids) for one, _ in by_root])
            hidden, _ = self._forward(layout, [before[place] for place, _ in by_root])
            odds.append(self._at_leaves(hidden, layout))
        return torch.cat(odds)

    def read_dense(self, trees: Sequence[PromptTree]) -> Tensor:
        """Every prompt's answer, float32 [leaves], each tree in one sequence under a mask; gradients flow through."""
        cut = chain.from_iterable(parts(tree, self.batch_tokens) for tree in trees)
        return torch.cat([self._masked(group) for group in grouped(cut, self.batch_tokens, lambda one: one.tokens)])

    def read_each(self, trees: Sequence[PromptTree]) -> Tensor:
        """Every prompt's answer, float32 [leaves], each prompt in a row of its own."""
        prompts = [ids for tree in trees for ids in tree.prompts()]
        ends = [leaf for tree in trees for leaf in tree.ends()]
        rows = max(1, self.batch_tokens // max(map(len, prompts)))
        batches = [slice(first, first + rows) for first in range(0, len(prompts), rows)]
        return torch.cat([self._padded(prompts[batch], ends[batch]) for batch in batches])

    def _read_prefixes(self, prefixes: Sequence[Ids], weights: str | None) -> list[list[KeysValues] | None]:
        """Keys and values of prefixes, by layer; None for an empty one."""
        read: dict[Ids, Read] = {}
        longest_first = sorted({ids for ids in prefixes if ids}, key=len, reverse=True)
        # What one of them begins with is taken from there.
        apart = [ids for place, ids in enumerate(longest_first) if not _begun(longest_first[:place], ids)]
        known = {ids: self.states.longest(weights, ids) for ids in apart}
        unread = [ids for ids in apart if len(ids) > _length(known[ids])]
        for group in grouped(unread, self.batch_tokens, lambda ids: len(ids) - _length(known[ids])):
            for one in self._read_on([(ids, known[ids]) for ids in group]):
                read[one.ids] = one
                self.states.keep(weights, one)
        read.update((ids, one) for ids, one in known.items() if one and len(one.ids) == len(ids))
        whole = [_begun(read, ids) if ids else None for ids in prefixes]
        return [read[one].first(len(ids)).layers if one else None for one, ids in zip(whole, prefixes, strict=True)]

    def _read_on(self, prefixes: Sequence[tuple[Ids, Read | None]]) -> list[Read]:
        """Read the rest of prefixes in one pass, each from where it was read to before."""
        starts = [_length(before) for _, before in prefixes]
        rests = [PromptTree(ids[start:]) for (ids, _), start in zip(prefixes, starts, strict=True)]
        layout = lay_out(rests, starts)
        _, kept = self._forward(layout, [before.layers if before else None for _, before in prefixes], keep=True)
        return [
            Read(ids, _extended(before, kept, first, behind))
            for (ids, before), (first, behind) in zip(prefixes, layout.roots, strict=True)
        ]

    def _forward(
        self, layout: Layout, contexts: Sequence[list[KeysValues] | None], *, keep: bool = False
    ) -> tuple[Tensor, list[KeysValues]]:
        """Hidden rows [T, width], and the keys and values of every layer where they are to be kept."""
        device = self.model.device
        tree = TreePass(layout, device, tuple(contexts), keep)
        hidden = self.model.base_model(
            input_ids=torch.as_tensor(layout.ids, device=device)[None],
            position_ids=torch.as_tensor(layout.positions, device=device)[None],
            # Four axes, so that no mask is made: these rows see each other as the tree says.
            attention_mask=torch.zeros((1, 1, 1, 1), dtype=self.model.dtype, device=device),
            use_cache=False,
            tree=tree,
        ).last_hidden_state
        return hidden[0], tree.kept

    def _masked(self, trees: Sequence[PromptTree]) -> Tensor:
        layout, device = lay_out(trees), self.model.device
        allowed = torch.as_tensor(layout.allowed, device=device)
        mask = torch.zeros(allowed.shape, dtype=self.model.dtype, device=device)
        mask.masked_fill_(~allowed, torch.finfo(self.model.dtype).min)
        hidden = self.model.base_model(
            input_ids=torch.as_tensor(layout.ids, device=device)[None],
            position_ids=torch.as_tensor(layout.positions, device=device)[None],
            attention_mask=mask[None, None],
            use_cache=False,
        ).last_hidden_state
        return self._at_leaves(hidden[0], layout)

    def _padded(self, prompts: Sequence[Ids], ends: Sequence[PromptTree]) -> Tensor:
        ids, mask = pad(prompts)
        hidden = self.model.base_model(
            input_ids=torch.as_tensor(ids, device=self.model.device),
            attention_mask=torch.as_tensor(mask, device=self.model.device),
            use_cache=False,
        ).last_hidden_state
        # The rows one after the other, as if they were one sequence.
        last = np.arange(len(prompts)) * ids.shape[1] + mask.sum(axis=1) - 1
        leaves = np.stack([last + 1 - [len(end.ids) for end in ends], last], axis=1)
        return self._at(hidden.flatten(0, 1), ids.reshape(-1), leaves, np.array([end.written for end in ends]))

    def _at_leaves(self, hidden: Tensor, layout: Layout) -> Tensor:
        return self._at(hidden, layout.ids, layout.leaves, layout.written)

    def _at(self, hidden: Tensor, ids: Integers, leaves: Integers, written: NDArray[np.bool_]) -> Tensor:
        """What is read at leaves of hidden rows, float32 [leaves]: answers, and the mean log chance of a text's tokens.

        A text's first token, of which nothing that stands in the leaf says how likely it is, is not counted.
        """
        if not written.any():
            return self.readout.odds(hidden[torch.as_tensor(leaves[:, 1], device=hidden.device)])
        if not written.all():
            found = hidden.new_empty(len(leaves), dtype=torch.float32)
            for some in (written, ~written):
                found[torch.as_tensor(some, device=hidden.device)] = self._at(hidden, ids, leaves[some], written[some])
            return found
        lengths = leaves[:, 1] - leaves[:, 0]
        rows = np.concatenate([np.arange(first, last) for first, last in leaves])
        told = self.readout.likelihoods(
            hidden[torch.as_tensor(rows, device=hidden.device)], torch.as_tensor(ids[rows + 1], device=hidden.device)
        )
        return torch.stack([part.mean() for part in torch.split(told, lengths.tolist())])


def _begun(longer: Iterable[Ids], ids: Ids) -> Ids | None:
    """One of the longer ones that begins with these ids."""
    return next((one for one in longer if one[: len(ids)] == ids), None)


def _length(read: Read | None) -> int:
    return len(read.ids) if read else 0


def _extended(before: Read | None, kept: Sequence[KeysValues], first: int, behind: int) -> list[KeysValues]:
    """The keys and values of each layer: what was there before, and some of the rows that were kept."""
    rows = [(key[:, :, first:behind], value[:, :, first:behind]) for key, value in kept]
    if before is None:
        return [(key.clone(), value.clone()) for key, value in rows]  # a view would keep all rows
    return [
        (torch.cat([old_key, key], dim=2), torch.cat([old_value, value], dim=2))
        for (old_key, old_value), (key, value) in zip(before.layers, rows, strict=True)
    ]
