"""The losses agree with their plain definitions, gradients included."""

from __future__ import annotations

import pytest
import torch

from llmrec.retrieval import losses
from llmrec.retrieval.losses import linear_cross_entropy, sampled_cross_entropy


def _problem(positions: int = 50, items: int = 30) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(1)
    states = torch.randn(positions, 8, generator=generator, dtype=torch.float64, requires_grad=True)
    vectors = torch.randn(items, 8, generator=generator, dtype=torch.float64, requires_grad=True)
    return states, vectors, torch.randint(items, (positions,), generator=generator)


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
@pytest.mark.parametrize("cells", [30, 30 * 7, 30 * 1000])  # one position at a time, an uneven number, all at once
def test_loss_and_gradient_are_those_of_cross_entropy(
    smoothing: float, cells: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(losses, "_CHUNK_CELLS", cells)
    states, vectors, target = _problem()
    plain = torch.nn.functional.cross_entropy(states @ vectors.T, target, label_smoothing=smoothing)
    wanted = torch.autograd.grad(3 * plain, (states, vectors))

    loss = linear_cross_entropy(states, vectors, target, smoothing)
    found = torch.autograd.grad(3 * loss, (states, vectors))

    torch.testing.assert_close(loss, plain)
    torch.testing.assert_close(found, wanted)


def test_large_logits_do_not_overflow() -> None:
    states, vectors, target = _problem()
    loss = linear_cross_entropy(1000 * states, vectors, target)
    assert torch.isfinite(loss)


def test_a_sample_of_everything_is_the_full_softmax_of_corrected_logits() -> None:
    states, vectors, target = _problem()
    popularity = torch.full((30,), 1 / 30, dtype=torch.float64)
    drawn = torch.arange(30)
    loss = sampled_cross_entropy(states, vectors, target, drawn, popularity)
    torch.testing.assert_close(loss, torch.nn.functional.cross_entropy(states @ vectors.T, target))


def test_the_sampled_softmax_learns_the_shares_of_popular_items_too() -> None:
    generator = torch.Generator().manual_seed(0)
    shares = 1 / torch.arange(1, 41, dtype=torch.float64)
    shares /= shares.sum()
    logits = torch.zeros(40, 1, dtype=torch.float64, requires_grad=True)
    optimizer = torch.optim.Adam([logits], lr=0.03)
    for _ in range(1500):
        target = torch.multinomial(shares, 64, replacement=True, generator=generator)
        drawn = torch.randint(40, (10,), generator=generator)
        loss = sampled_cross_entropy(torch.ones(64, 1, dtype=torch.float64), logits, target, drawn, shares)
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
    learnt = logits.detach()[:, 0].softmax(dim=0)
    assert float(learnt[0]) == pytest.approx(float(shares[0]), rel=0.25)
    assert float(learnt[10:].sum()) == pytest.approx(float(shares[10:].sum()), rel=0.25)
