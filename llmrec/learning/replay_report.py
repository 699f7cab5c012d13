"""A replay as a table and as one HTML page that needs nothing else."""

from __future__ import annotations

from functools import partial
from typing import Any

from llmrec.evaluation.page import document, figure, section
from llmrec.evaluation.plots import picture
from llmrec.learning.replaying import Replay

__all__ = ["replay_page", "replay_table"]

_NAMES = {"ndcg": "N@10 of what was taken next", "clicks": "Share of the list taken later in the block"}


def replay_table(replay: Replay) -> tuple[list[str], list[list[str]]]:
    """Columns and rows: a row for each policy, N@10 by block, and its difference from frozen."""
    blocks = [str(block + 1) for block in range(replay.options.blocks)]
    rows = []
    for policy in replay.blocks:
        values = [f"{one.value:.4f}" if one.value is not None else "-" for one in replay.curve(policy, "ndcg")]
        rows.append([policy, *values, _difference(replay, policy)])
    return ["policy", *blocks, "blocks 2 on, less frozen"], rows


def replay_page(replay: Replay) -> str:
    """The page, with a curve for each policy.

    Raises:
        MissingExtraError: matplotlib is not installed.
    """
    pictures = [figure(name, picture(partial(_draw, replay=replay, metric=metric))) for metric, name in _NAMES.items()]
    options = replay.options
    told = (
        f"{replay.events} events in time order, the first {options.warm_up:.0%} known from the beginning, the rest in "
        f"{options.blocks} blocks; of each {options.requests} events are foretold. Bars: 95% intervals by bootstrap."
    )
    return document("Replay", ["<h1>Replay</h1>", f"<p>{told}</p>", section("N@10", replay_table(replay)), *pictures])


def _difference(replay: Replay, policy: str) -> str:
    found = replay.over(policy)
    return "" if found is None else f"{found.difference:+.4f} [{found.low:+.4f}, {found.high:+.4f}]"


def _draw(axes: Any, replay: Replay, metric: str) -> None:
    for place, policy in enumerate(replay.blocks):
        curve = replay.curve(policy, metric)
        blocks = [block + 1 + 0.05 * place for block in range(len(curve))]
        values = [one.value or 0.0 for one in curve]
        below = [value - (one.low or 0.0) for value, one in zip(values, curve, strict=True)]
        above = [(one.high or 0.0) - value for value, one in zip(values, curve, strict=True)]
        axes.errorbar(blocks, values, yerr=[below, above], marker="o", capsize=3, label=policy)
    axes.set_xlabel("block")
    axes.set_xticks(range(1, replay.options.blocks + 1))
    axes.legend(frameon=False, ncols=3)
