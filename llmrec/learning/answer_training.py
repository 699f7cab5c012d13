"""Training an adapter that words reasons as users like them, with trl's KTO (Ethayarajh et al. 2024).

Likes and dislikes need no pairs. The reference is the base model, so the adapter goes no further from it than the
thumbs say.
"""

from __future__ import annotations

import random
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from llmrec.errors import MissingExtraError
from llmrec.models import TransformersLM
from llmrec.models.loading import load_tokenizer
from llmrec.models.lora import LoraShape, lora_config, save_adapter
from llmrec.models.progress import show_bar
from llmrec.models.sources import ModelSource

__all__ = ["AnswerOptions", "require_trl", "train_answers"]

_BATCH = 8
"""Rows a step; the mismatched pairs that KTO needs are made within one."""
_BETA = 0.1


@dataclass(frozen=True, slots=True)
class AnswerOptions:
    """How to train.

    Args:
        shape: Of the adapter.
        learning_rate: Of AdamW.
        epochs: Passes over the rows.
        seed: Of their order and of the adapter's first weights.
        progress: Show a bar.
    """

    shape: LoraShape
    learning_rate: float
    epochs: int = 3
    seed: int = 7
    progress: bool = False


Row = tuple[Sequence[int], Sequence[int], bool]
"""Token ids of a prompt and of what stands behind it, and whether that was liked."""


def require_trl() -> None:
    """Refuse to begin without trl.

    Raises:
        MissingExtraError: It is not installed.
    """
    if not find_spec("trl"):
        raise MissingExtraError("trl", extra="answers", purpose="retrain --task answer")


def train_answers(
    base: TransformersLM, source: ModelSource, rows: Sequence[Row], options: AnswerOptions, directory: Path
) -> dict[str, Any]:
    """Train an adapter over a model that nothing else uses, and write it.

    Args:
        base: The model; it is not to be used afterwards.
        source: Where it came from.
        rows: What to learn from, of both kinds.
        options: How.
        directory: Where the adapter goes.

    Returns:
        What is said of the training in a manifest.

    Raises:
        ModelError: A weight is not a number.
    """
    from datasets import Dataset, disable_progress_bars
    from trl import KTOTrainer

    given = list(rows)
    random.Random(options.seed).shuffle(given)  # noqa: S311 - trl takes the rows in this order
    given = given[: max(2, len(given) - (len(given) % _BATCH == 1))]  # a row alone has none to be mismatched with
    disable_progress_bars()
    words = Dataset.from_list([{"prompt": "a", "completion": " b", "label": label} for *_, label in given])
    config = lora_config(source.name, base.model, options.shape)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of what trl, peft and transformers call otherwise since their last versions
        trainer = KTOTrainer(
            model=base.model,
            args=_arguments(base, given, options, directory),
            train_dataset=words,
            processing_class=load_tokenizer(source),
            peft_config=config,
        )
        # trl reads a text as a whole; the model is asked in pieces that were tokenised apart: their ids are put here.
        trainer.train_dataset = Dataset.from_list(_columns(base, given))
        show_bar(trainer, "learning from thumbs", wanted=options.progress)
        trainer.train()
    save_adapter(trainer.model, config, source.name, directory)
    losses = [one["loss"] for one in trainer.state.log_history if "loss" in one]
    return {"steps": trainer.state.global_step, "first_loss": losses[0], "last_loss": losses[-1]} if losses else {}


def _columns(base: TransformersLM, rows: Sequence[Row]) -> list[dict[str, Any]]:
    """The rows as trl's collator takes them; what is behind a prompt is also put behind the next one of its batch."""
    texts = [base.as_text(prompt, written) for prompt, written, _ in rows]
    batches = [list(range(start, min(start + _BATCH, len(rows)))) for start in range(0, len(rows), _BATCH)]
    other = {own: batch[place - 1] for batch in batches for place, own in enumerate(batch)}
    return [
        {
            "prompt_ids": list(prompt),
            "completion_ids": list(written),
            "KL_completion_ids": list(texts[other[place]][1]),
            "label": rows[place][2],
        }
        for place, (prompt, written) in enumerate(texts)
    ]


def _arguments(base: TransformersLM, rows: Sequence[Row], options: AnswerOptions, directory: Path) -> Any:
    from trl import KTOConfig

    ups = sum(label for *_, label in rows)
    downs = len(rows) - ups
    return KTOConfig(
        output_dir=str(directory.with_name(f"{directory.name}-run")),
        per_device_train_batch_size=_BATCH,
        num_train_epochs=options.epochs,
        learning_rate=options.learning_rate,
        beta=_BETA,
        # As many likes as dislikes, by their weight.
        desirable_weight=max(1.0, downs / max(1, ups)),
        undesirable_weight=max(1.0, ups / max(1, downs)),
        max_length=None,
        gradient_checkpointing=False,
        bf16=base.model.device.type == "cuda",
        use_cpu=base.model.device.type == "cpu",
        dataloader_pin_memory=False,
        logging_steps=1,
        save_strategy="no",
        report_to="none",
        disable_tqdm=True,
        seed=options.seed,
    )
