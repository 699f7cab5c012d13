"""What a training learns from, and how several processes come to have the same.

Only the first process of `accelerate launch` holds the workspace and makes the lists. It writes them, as token ids,
into a file that the others wait for.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
from accelerate import PartialState  # type: ignore[import-untyped]

from llmrec.files import replace_file
from llmrec.learning.examples import Example
from llmrec.models import PromptTree

__all__ = ["Lessons", "await_shared", "fingerprint_of", "is_alone", "is_helper", "share"]

_PATIENCE = timedelta(hours=24)
"""What the other processes wait for lists."""


@dataclass(frozen=True, slots=True)
class Lessons:
    """What to learn from.

    Args:
        epoch: Gives the examples of an epoch, counted from 0; always the same ones.
        validation: Whole lists, one in each example.
        identity: What identifies base and settings, so that a checkpoint of others is not taken up.
    """

    epoch: Callable[[int], Sequence[Example]]
    validation: Sequence[Example]
    identity: str


def is_alone() -> bool:
    """Whether this is the only process of its run."""
    return _processes() == 1


def is_helper() -> bool:
    """Whether this is one of several processes, and not the first."""
    return _processes() > 1 and int(os.environ.get("RANK", "0")) > 0


def share(lessons: Lessons, epochs: int, path: Path) -> None:
    """Let the other processes have the lessons; where there are none, do nothing."""
    if _processes() == 1:
        return
    made = [[_plain(one) for one in lessons.epoch(number)] for number in range(epochs)]
    form = {"epochs": made, "validation": [_plain(one) for one in lessons.validation], "identity": lessons.identity}
    replace_file(path, json.dumps(form).encode())
    PartialState(timeout=_PATIENCE).wait_for_everyone()


def await_shared(path: Path) -> Lessons:
    """The lessons of the first process, once it has made them."""
    PartialState(timeout=_PATIENCE).wait_for_everyone()
    form = json.loads(path.read_bytes())
    epochs = [[_example(one) for one in made] for made in form["epochs"]]
    return Lessons(epochs.__getitem__, [_example(one) for one in form["validation"]], form["identity"])


def fingerprint_of(examples: Iterable[Example]) -> str:
    """What identifies the words of examples, so that a checkpoint of others is not taken up.

    Not their offsets, whose last digits another run may compute otherwise.
    """
    digest = hashlib.sha256()
    for one in examples:
        digest.update(json.dumps([_plain_tree(one.tree), one.lengths]).encode())
    return digest.hexdigest()


def _processes() -> int:
    return int(os.environ.get("WORLD_SIZE", "1"))


def _plain(example: Example) -> dict[str, Any]:
    return {
        "tree": _plain_tree(example.tree),
        "offsets": example.offsets.tolist(),
        "lengths": example.lengths,
        "trimmed": example.trimmed,
        "capped": example.capped,
        "kind": example.kind,
    }


def _plain_tree(tree: PromptTree) -> list[Any]:
    return [tree.ids, [_plain_tree(child) for child in tree.children], tree.written]


def _example(form: dict[str, Any]) -> Example:
    offsets, lengths = np.array(form["offsets"], dtype=np.float64), tuple(form["lengths"])
    return Example(_tree(form["tree"]), offsets, lengths, form["trimmed"], form["capped"], form["kind"])


def _tree(form: list[Any]) -> PromptTree:
    ids, children, written = form
    return PromptTree(tuple(ids), tuple(map(_tree, children)), written)
