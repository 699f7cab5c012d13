"""The loss of next-item prediction: softmax cross-entropy of states against item vectors.

The logits of all positions against a whole catalogue are the largest thing in training. They are made and used a few
hundred positions at a time, and the gradient with them, so that they stay in the processor's cache and memory does not
grow with positions x items. PyTorch's chunked linear_cross_entropy knows no label smoothing.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

__all__ = ["linear_cross_entropy", "sampled_cross_entropy"]

_CHUNK_CELLS = 1 << 20
"""Logits held at once: 4 MB."""
_CHUNK_CELLS_GPU = 1 << 28


def linear_cross_entropy(states: Tensor, items: Tensor, target: Tensor, label_smoothing: float = 0.0) -> Tensor:
    """`cross_entropy(states @ items.T, target, label_smoothing)`, its gradient made in the same pass.

    Args:
        states: [positions, dimension].
        items: [items, dimension].
        target: Rows of the items that came next, int64 [positions].
        label_smoothing: Share of the target's mass spread over all items.
    """
    loss: Tensor = _LinearCrossEntropy.apply(states, items, target, label_smoothing)  # type: ignore[no-untyped-call]
    return loss


def sampled_cross_entropy(states: Tensor, items: Tensor, target: Tensor, drawn: Tensor, popularity: Tensor) -> Tensor:
    """Softmax over the batch's targets and a uniform sample, each logit less the log of its chance to be there.

    That is the logQ correction (Bengio and Senecal 2003) for candidates that count once however often they are drawn.

    Args:
        states: [positions, dimension].
        items: [items, dimension].
        target: Rows of the items that came next, int64 [positions].
        drawn: Rows of a uniform sample.
        popularity: Each item's share of all targets, [items].
    """
    candidates = torch.unique(torch.cat([target, drawn]))
    expected = len(target) * popularity[candidates] + len(drawn) / len(items)
    included = -torch.expm1(-expected)  # of a Poisson number of draws, that it is not zero
    logits = states @ items[candidates].T - included.log()
    return torch.nn.functional.cross_entropy(logits, torch.searchsorted(candidates, target))


class _LinearCrossEntropy(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, states: Tensor, items: Tensor, target: Tensor, label_smoothing: float) -> Tensor:
        cells = _CHUNK_CELLS_GPU if states.is_cuda else _CHUNK_CELLS
        chunk = max(1, min(len(states), cells // len(items)))
        logits = states.new_empty(chunk, len(items))
        state_gradient, item_gradient = torch.empty_like(states), torch.zeros_like(items)
        total = states.new_zeros(())
        for start in range(0, len(states), chunk):
            part, wanted = states[start : start + chunk], target[start : start + chunk, None]
            gradient = logits[: len(part)]
            torch.mm(part, items.T, out=gradient)
            total += _loss_then_gradient(gradient, wanted, label_smoothing)
            torch.mm(gradient, items, out=state_gradient[start : start + chunk])
            item_gradient.addmm_(gradient.T, part)
        ctx.save_for_backward(state_gradient.div_(len(states)), item_gradient.div_(len(states)))
        return total / len(states)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, Tensor, None, None]:
        state_gradient, item_gradient = ctx.saved_tensors
        return state_gradient * gradients[0], item_gradient * gradients[0], None, None


def _loss_then_gradient(logits: Tensor, target: Tensor, label_smoothing: float) -> Tensor:
    """The summed loss of some positions; their logits are overwritten by its gradient, softmax less target."""
    wanted = logits.gather(1, target).sum() * (1 - label_smoothing)
    if label_smoothing:
        wanted += logits.mean(dim=1).sum() * label_smoothing
    highest = logits.amax(dim=1, keepdim=True)
    denominator = logits.sub_(highest).exp_().sum(dim=1, keepdim=True)
    loss = (denominator.log() + highest).sum() - wanted
    logits.div_(denominator)
    if label_smoothing:
        logits.sub_(label_smoothing / logits.shape[1])
    logits.scatter_add_(1, target, torch.full_like(target, label_smoothing - 1, dtype=logits.dtype))
    return loss
