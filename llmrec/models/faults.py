"""What went wrong in a model's computation, as whoever asked is told."""

from __future__ import annotations

import torch

from llmrec.errors import ScoringError

__all__ = ["is_out_of_memory", "scoring_error"]


def scoring_error(what: str, error: Exception) -> ScoringError:
    """The error to raise; what failed is named, and the next step is in its hint."""
    if is_out_of_memory(error):
        hint = "lower ranking.batch_tokens or retrieval.candidates, or use a smaller model"
        return ScoringError(f"{what} ran out of memory", hint=hint)
    reason = next(iter(str(error).splitlines()), type(error).__name__)
    return ScoringError(
        f"{what} failed in its forward pass: {reason}",
        hint="set models.device to cpu or models.dtype to float32; if it fails there too, use another model",
    )


def is_out_of_memory(error: Exception) -> bool:
    """Whether it is for want of memory; on the CPU torch raises a plain RuntimeError then."""
    return isinstance(error, MemoryError | torch.OutOfMemoryError) or "can't allocate memory" in str(error)
