"""From requests whose outcome is known to what a training step reads: short lists, one tree of prompts for each user.

A list is what the retriever proposed just before the user took one of the items, in its own order: its score is a fixed
offset inside the softmax, so that the language model learns what the retriever misses. Of the other items some are
drawn, the likelier ones more often, and each of those counts as many times as it stands for (importance weights), so
that the short list's loss estimates the whole list's.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import brentq
from scipy.special import log_softmax

from llmrec.models import PromptTree
from llmrec.models.tree import grouped
from llmrec.ranking import HeldOutRequest, Ranker
from llmrec.records import Event, History, Item

__all__ = ["Example", "draw", "examples_of", "text_examples", "whole_example"]

Floats = NDArray[np.float64]

_UNIFORM = 0.5
"""Share of the draws that go to every item alike, so that none stands for very many."""


Kind = Literal["choice", "likelier", "text"]


@dataclass(frozen=True, slots=True)
class Example:
    """Lists of one user in one tree, or histories of several.

    Args:
        tree: The prompts, unframed; its leaves are the lists' items, one list after the other, what was taken first.
        offsets: Added to what the model says of the items, float64 [items].
        lengths: How many items each list has.
        trimmed: Of how many lists, or texts, the history did not fit whole.
        capped: How many pieces of foreign text were shortened.
        kind: choice: leaves are questions. likelier: leaves are texts behind the history, and then the same ones behind
            none, whose log chances are taken off. text: leaves are histories, to be made likelier; there is no list.
    """

    tree: PromptTree
    offsets: Floats
    lengths: tuple[int, ...]
    trimmed: int = 0
    capped: int = 0
    kind: Kind = "choice"


@dataclass(frozen=True, slots=True)
class _List:
    request: HeldOutRequest
    places: NDArray[np.int64]
    offsets: Floats


def draw(scores: Floats, taken: int, others: int, generator: np.random.Generator) -> tuple[NDArray[np.int64], Floats]:
    """A short list: what was taken, then some of the other items, and the offset of each.

    Args:
        scores: The retriever's, [n].
        taken: The place of what was taken.
        others: How many other items; all where there are no more.
        generator: Draws.

    Returns:
        Places, int64 [1 + others], and offsets: the score, less the log of the chance to be drawn.
    """
    rest = np.delete(np.arange(len(scores)), taken)
    if others >= len(rest):
        places = np.concatenate([[taken], rest])
        return places, scores[places]
    chances = np.exp(log_softmax(scores[rest])) * (1 - _UNIFORM) + _UNIFORM / len(rest)
    # Exponential clocks: who rings among the first `others` is drawn, and `rate` is when that many have rung.
    rung = generator.exponential(size=len(rest)) / chances
    drawn = np.argsort(rung)[:others]
    rate = brentq(lambda time: -np.expm1(-time * chances).sum() - others, 0, 1e3 * len(rest) / _UNIFORM)
    included = -np.expm1(-rate * chances[drawn])
    places = np.concatenate([[taken], rest[drawn]])
    return places, scores[places] - np.log(np.concatenate([[1.0], included]))


def examples_of(
    requests: Sequence[HeldOutRequest],
    ranker: Ranker,
    items: Mapping[str, Item],
    *,
    others: int,
    longest: int,
    generator: np.random.Generator,
) -> Iterator[Example]:
    """Short lists, those of one user in as few trees as their lengths allow.

    Args:
        requests: Each with what was taken; those of one user together, oldest first.
        ranker: Writes the prompts, as when it serves.
        items: At least the items that histories are about.
        others: Items a list has beside the one that was taken.
        longest: A tree's most tokens; a single list may be longer.
        generator: Draws.
    """
    for _, of_user in groupby(requests, key=lambda one: one.before.user and one.before.user.user_id):
        short = [_List(one, *draw(_scores(one), _taken(one), others, generator)) for one in of_user]
        yield from _packed(short, ranker, items, longest)


def whole_example(request: HeldOutRequest, ranker: Ranker, items: Mapping[str, Item]) -> Example:
    """The whole list of one request, what was taken first."""
    scores, taken = _scores(request), _taken(request)
    places = np.concatenate([[taken], np.delete(np.arange(len(scores)), taken)])
    if ranker.ask == "title":
        return _likelier(request, places, ranker, items)
    (example,) = _packed([_List(request, places, scores[places])], ranker, items, longest=0)
    return example


def _likelier(request: HeldOutRequest, places: NDArray[np.int64], ranker: Ranker, items: Mapping[str, Item]) -> Example:
    shared = ranker.shared(request.before, items)
    lines = [ranker.candidate(request.candidates[place]) for place in places.tolist()]
    leaves = tuple(PromptTree(ids, (), written=True) for ids, _ in lines)
    tree = PromptTree((), (PromptTree(tuple(shared.ids), leaves), PromptTree(tuple(ranker.beginning), leaves)))
    trimmed = len(shared.lines) < request.before.known
    capped = shared.capped + sum(capped for _, capped in lines)
    return Example(tree, _scores(request)[places], (len(places),), trimmed, capped, "likelier")


def text_examples(
    histories: Iterable[History], ranker: Ranker, items: Mapping[str, Item], longest: int
) -> Iterator[Example]:
    """Histories as texts to be made likelier, several in a tree of at most `longest` tokens where they are so short.

    Args:
        histories: What users did, oldest first.
        ranker: Writes them, as when it serves; what does not fit into its prompt is left out, oldest first.
        items: At least the items that histories are about.
        longest: A tree's most tokens.
    """
    texts = ((history.known, ranker.shared(history, items)) for history in histories)
    told = (
        (known, shared, tuple(index for line in shared.lines for index in line))
        for known, shared in texts
        if len(shared.lines) > 1
    )
    for head, of_head in groupby(told, key=lambda one: one[1].head):
        for group in grouped(of_head, longest - len(head), lambda one: len(one[2])):
            leaves = tuple(PromptTree(text, (), written=True) for _, _, text in group)
            trimmed = sum(known > len(shared.lines) for known, shared, _ in group)
            capped = sum(shared.capped for _, shared, _ in group)
            lengths = (1,) * len(leaves)
            yield Example(PromptTree(head, leaves), np.zeros(len(leaves)), lengths, trimmed, capped, "text")


def _scores(request: HeldOutRequest) -> Floats:
    return np.array([candidate.score for candidate in request.candidates])


def _taken(request: HeldOutRequest) -> int:
    assert request.taken is not None, "only lists that hold what was taken teach"
    return request.taken


@dataclass(frozen=True, slots=True)
class _Prompted:
    """A list in words: the events it tells of, their lines behind the head, the question with the items behind it."""

    events: tuple[Event, ...]
    path: tuple[tuple[int, ...], ...]
    question: PromptTree
    offsets: Floats
    trimmed: bool
    capped: int


def _packed(lists: Sequence[_List], ranker: Ranker, items: Mapping[str, Item], longest: int) -> Iterator[Example]:
    """Lists of one user, the newest first, with those before them in one tree as far as its length allows."""
    left = list(lists)
    while left:
        chain = [_prompted(left.pop(), ranker, items)]
        tokens = chain[0].question.tokens + sum(map(len, chain[0].path))
        while left and chain[0].events:
            one = _begun_alike(left[-1], chain, ranker, items)
            if one is None or tokens + one.question.tokens > longest:
                break
            left.pop()
            chain.insert(0, one)
            tokens += one.question.tokens
        yield _joined(chain)


def _begun_alike(one: _List, chain: Sequence[_Prompted], ranker: Ranker, items: Mapping[str, Item]) -> _Prompted | None:
    """A list whose prompt begins with the same event as the chain's, so that they share it; None if too little is left.

    Its history is trimmed further than it must be, as other users' shorter ones are.
    """
    newest, events = chain[-1].events, one.request.before.events
    if newest[0] not in events:
        return None
    kept = events[events.index(newest[0]) :]
    if 2 * len(kept) < len(newest):
        return None
    before = one.request.before
    shorter = replace(one.request, before=History(before.user, kept, before.seen, len(kept)))
    prompted = _prompted(replace(one, request=shorter), ranker, items)
    if chain[0].path[: len(prompted.path)] != prompted.path:
        return None
    return replace(prompted, trimmed=len(prompted.events) < before.known)


def _prompted(one: _List, ranker: Ranker, items: Mapping[str, Item]) -> _Prompted:
    shared = ranker.shared(one.request.before, items)
    candidates = [ranker.candidate(one.request.candidates[place]) for place in one.places.tolist()]
    return _Prompted(
        events=shared.events,
        path=(shared.head, *shared.lines),
        question=PromptTree(shared.tail, tuple(PromptTree(ids) for ids, _ in candidates)),
        offsets=one.offsets,
        trimmed=len(shared.lines) < one.request.before.known,
        capped=shared.capped + sum(capped for _, capped in candidates),
    )


def _joined(chain: Sequence[_Prompted]) -> Example:
    """A tree whose stem is the longest history: each list's question leaves it where its history ends."""
    tree: PromptTree | None = None
    for place in range(len(chain) - 1, -1, -1):
        start = len(chain[place - 1].path) if place else 0
        stem = tuple(index for line in chain[place].path[start:] for index in line)
        tree = PromptTree(stem, (chain[place].question, *([tree] if tree else [])))
    assert tree is not None
    return Example(
        tree,
        np.concatenate([one.offsets for one in chain]),
        tuple(len(one.offsets) for one in chain),
        sum(one.trimmed for one in chain),
        sum(one.capped for one in chain),
    )
