"""What the newest state attends to, as the network itself has it, without a change to the shared network."""

from copy import deepcopy

import numpy as np
import pytest
import torch
from transformers import PreTrainedModel

from llmrec.retrieval.encoder import EncoderConfig, EventBatch, SequenceEncoder
from llmrec.retrieval.sequences import EventArrays, EventVocabulary

ITEMS = 30


def events(count: int) -> EventArrays:
    rows, unknown = np.random.default_rng(count).integers(ITEMS, size=count), np.full(count, np.nan)
    return EventVocabulary(("view",)).encode(rows=rows, kinds=["view"] * count, values=unknown, times=unknown)


def encoder(network: str, layers: int) -> tuple[SequenceEncoder, torch.Tensor]:
    """An encoder that attends to some events much more than to others, and its item vectors."""
    torch.manual_seed(0)
    config = EncoderConfig(network=network, dimension=16, layers=layers, heads=4, max_events=12)  # type: ignore[arg-type]
    model = SequenceEncoder(config, items=ITEMS, text_dimension=8, kinds=1).eval()
    with torch.no_grad():
        for weight in model.parameters():
            weight.add_(0.3 * torch.randn_like(weight))
        return model, model.item_vectors(torch.randn(ITEMS, 8))


@pytest.mark.parametrize("layers", [1, 2, 3])
@pytest.mark.parametrize("count", [1, 2, 12])
def test_the_weights_are_those_of_an_eager_forward(layers: int, count: int) -> None:
    model, items = encoder("attention", layers)
    state, found = model.read(events(count), items)
    eager = deepcopy(model.network.model)
    eager.set_attn_implementation("eager")
    with torch.inference_mode():
        inputs = model._inputs(EventBatch.of([events(count)]), items)
        wanted = eager(inputs_embeds=inputs, output_attentions=True).attentions[-1][0, :, -1].mean(dim=0).numpy()
        whole = model(EventBatch.of([events(count)]), items)[0, -1].numpy()
    np.testing.assert_allclose(found, wanted, atol=1e-6)
    np.testing.assert_allclose(state, whole, atol=1e-5)
    assert count == 1 or np.ptp(found) > 1e-3


@pytest.mark.parametrize("count", [1, 5, 12])
def test_the_weights_of_the_gru_are_those_that_make_its_state(count: int) -> None:
    model, items = encoder("gru", 2)
    state, weights = map(torch.from_numpy, model.read(events(count), items))
    with torch.inference_mode():
        batch = EventBatch.of([events(count)])
        states, _ = model.network.gru(model._inputs(batch, items))
        joined = model.network.join(torch.cat([states[0, -1], weights @ states[0]]))
        assert torch.allclose(joined, model(batch, items)[0, -1], atol=1e-5)
        assert torch.allclose(joined, state, atol=1e-5)


def test_asking_leaves_the_shared_network_as_other_threads_use_it(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise AssertionError("another thread may be in the middle of a forward pass")

    model, items = encoder("attention", 2)
    monkeypatch.setattr(PreTrainedModel, "set_attn_implementation", refuse)
    assert model.read(events(5), items)[1].sum() == pytest.approx(1.0, abs=1e-5)
