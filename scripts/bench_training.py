"""Time the training of the ranker: lists packed into trees against one prompt for each candidate.

    python scripts/bench_training.py --json training.json

A list has one item that was taken and seven others behind one shared prefix. `packed` reads it in one sequence under a
mask; `chain` reads five lists of one user in one tree, as a training does where it can; `separate` reads every prompt
whole, with the best of several batch sizes. All compute the same losses and gradients of the same adapter; they take
turns in one process, and ratios are medians of the rounds' own ratios, in lists a second.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

from llmrec.errors import LlmrecError
from llmrec.evaluation import describe_environment
from llmrec.files import replace_file
from llmrec.learning.examples import Example
from llmrec.learning.training import list_losses
from llmrec.models import PromptTree, TransformersLM, resolve
from llmrec.models.lora import LoraLearner, LoraShape
from llmrec.service.printing import print_error, print_table, say

LISTS, OTHERS = 5, 7
BATCHES = (1, 2, 4, 8)
VOCABULARY = (1_000, 20_000)


def example(prefix: int, tokens: int, lists: int, seed: int) -> Example:
    """Lists of one user, each a line of 16 tokens after the one before."""
    draw = np.random.default_rng(seed)

    def ids(count: int) -> tuple[int, ...]:
        return tuple(draw.integers(*VOCABULARY, count).tolist())

    def question() -> PromptTree:
        third = max(1, tokens // 3)
        lengths = draw.integers(tokens - third, tokens + third + 1, OTHERS + 1)
        return PromptTree(ids(18), tuple(PromptTree(ids(length)) for length in lengths))

    tree = PromptTree(ids(16), (question(),))
    for _ in range(lists - 1):
        tree = PromptTree(ids(16), (question(), tree))
    stem = PromptTree(ids(prefix - 16 * lists), (tree,))
    return Example(stem, np.zeros(tree.leaves), (OTHERS + 1,) * lists)


def timed(work: Callable[[], torch.Tensor], learner: LoraLearner) -> tuple[float, float]:
    """Seconds of a forward and a backward pass, and the loss."""
    learner.zero_grad(set_to_none=True)
    start = time.perf_counter()
    loss = work()
    loss.backward()  # type: ignore[no-untyped-call]
    if loss.device.type == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter() - start, float(loss.detach())


def best_batch(learner: LoraLearner, one: Example, sizes: tuple[int, ...]) -> int:
    """The rows at once with which whole prompts are read quickest."""
    found = {}
    for rows in sizes:
        found[rows] = timed(lambda rows=rows: separate(learner, one, rows), learner)[0]  # type: ignore[misc]
    return min(found, key=found.__getitem__)


def separate(learner: LoraLearner, one: Example, rows: int) -> torch.Tensor:
    """The loss from whole prompts, so many at once."""
    learner.reader.batch_tokens = rows * one.tree.longest
    return list_losses(learner.forward_separately([one.tree]), one).mean()


def packed(learner: LoraLearner, one: Example) -> torch.Tensor:
    """The loss from one sequence."""
    learner.reader.batch_tokens = 1 << 20
    return list_losses(learner([one.tree]), one).mean()


def measure(options: argparse.Namespace) -> dict[str, object]:
    """All figures."""
    lm = TransformersLM.load(
        resolve(options.model, "language-model"), device=options.device, dtype=options.dtype, training=True
    )
    learner = lm.learner(LoraShape(options.rank))
    with torch.no_grad():
        for weight in learner.adapter.values():
            weight.normal_(std=0.01, generator=None)
    alone = example(options.prefix, options.tokens, 1, seed=0)
    chain = example(options.prefix, options.tokens, LISTS, seed=1)
    rows = best_batch(learner, alone, BATCHES)
    seconds: dict[str, list[float]] = {"packed": [], "chain": [], "separate": []}
    losses: dict[str, float] = {}
    for turn in range(options.rounds + 1):
        for name, work in {
            "packed": lambda: packed(learner, alone),
            "chain": lambda: packed(learner, chain),
            "separate": lambda: separate(learner, alone, rows),
        }.items():
            took, losses[name] = timed(work, learner)
            if turn:  # the first one warms up
                seconds[name].append(took)
    ratios = {
        "packed": [slow / fast for slow, fast in zip(seconds["separate"], seconds["packed"], strict=True)],
        "chain": [LISTS * slow / fast for slow, fast in zip(seconds["separate"], seconds["chain"], strict=True)],
    }
    whole = sum(map(len, alone.tree.prompts()))
    return {
        "workload": {"prefix": options.prefix, "others": OTHERS, "tokens": options.tokens, "lists": LISTS},
        "seconds": {name: statistics.median(took) for name, took in seconds.items()},
        "ratios": {name: statistics.median(found) for name, found in ratios.items()},
        "ideal": {"packed": whole / alone.tree.tokens, "chain": LISTS * whole / chain.tree.tokens},
        "loss_gap": abs(losses["packed"] - losses["separate"]),
        "tokens_per_second": chain.tree.tokens / statistics.median(seconds["chain"]),
        "batch": rows,
        "dtype": str(lm.model.dtype).removeprefix("torch."),
        "environment": describe_environment(),
    }


def parser() -> argparse.ArgumentParser:
    """The options."""
    made = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    made.add_argument("--model", default="smollm2-135m-instruct", help="a known name or a directory (%(default)s)")
    made.add_argument("--device", default="auto")
    made.add_argument("--dtype", choices=["auto", "bfloat16", "float32"], default="auto")
    made.add_argument("--rank", type=int, default=16, help="of the adapter (%(default)s)")
    made.add_argument("--prefix", type=int, default=384, help="tokens of the shared part (%(default)s)")
    made.add_argument("--tokens", type=int, default=24, help="of a candidate, about (%(default)s)")
    made.add_argument("--rounds", type=int, default=5)
    made.add_argument("--json", type=Path, metavar="OUT")
    return made


def main() -> int:
    """Measure, print and keep; returns the exit status."""
    options = parser().parse_args()
    try:
        found = measure(options)
    except LlmrecError as error:
        print_error(error, as_json=False)
        return 2
    seconds, ratios, ideal = found["seconds"], found["ratios"], found["ideal"]
    rows = [
        [name, f"{seconds[name]:.2f}", f"{ratios.get(name, 1.0):.2f}", f"{ideal.get(name, 1.0):.2f}"]  # type: ignore[index, attr-defined]
        for name in ("separate", "packed", "chain")
    ]
    print_table("Lists a second, over separate prompts", ["way", "seconds", "ratio", "ideal"], rows)
    say(f"loss gap {found['loss_gap']:.1e}, {found['tokens_per_second']:.0f} tokens/s in {found['dtype']}")
    if options.json:
        replace_file(options.json, json.dumps(found, indent=2).encode())
    return 0


if __name__ == "__main__":
    sys.exit(main())
