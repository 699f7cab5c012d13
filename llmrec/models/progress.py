"""A bar for trainings that transformers' Trainer runs, in place of what it prints."""

from __future__ import annotations

from typing import Any

from tqdm import tqdm
from transformers import PrinterCallback, TrainerCallback

__all__ = ["show_bar"]


class _Bar(TrainerCallback):  # type: ignore[misc]
    def __init__(self, what: str) -> None:
        self._what = what
        self._bar: Any = None

    def on_train_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:  # noqa: ARG002
        self._bar = tqdm(total=state.max_steps, desc=self._what, unit="step")

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:  # noqa: ARG002
        self._bar.update(1)

    def on_train_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:  # noqa: ARG002
        self._bar.close()


def show_bar(trainer: Any, what: str, *, wanted: bool) -> None:
    """Let a Trainer without tqdm of its own show one bar on standard error, or nothing."""
    trainer.remove_callback(PrinterCallback)
    if wanted:
        trainer.add_callback(_Bar(what))
