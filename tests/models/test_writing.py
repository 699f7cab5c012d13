"""A language model writes a line behind a prompt, in its turn and within its time."""

from pathlib import Path

import numpy as np
import pytest
import torch

from llmrec.errors import ScoringError
from llmrec.models import ModelSource, Segment, TransformersLM
from llmrec.models.lora import LoraShape
from llmrec.models.writing import log_likelihoods
from tests.tiny import tiny, tiny_base

__all__ = ["tiny", "tiny_base"]


def ids(model: TransformersLM, text: str, *, trusted: bool = True) -> list[int]:
    return model.tokenize(Segment(text, trusted=trusted))


@pytest.fixture
def adapter(tiny: TransformersLM, tmp_path: Path) -> Path:
    """Weights far from nothing."""
    learner = tiny.learner(LoraShape(rank=4))
    with torch.no_grad():
        for weight in learner.adapter.values():
            weight.normal_(std=2.0)
    learner.save(tmp_path / "adapter")
    learner.close()
    return tmp_path / "adapter"


def test_the_likeliest_line_is_written(smollm_float32: TransformersLM) -> None:
    prompt = ids(smollm_float32, "one, two, three, four, five, six,")
    said = smollm_float32.write(prompt, 4)
    assert said.startswith(" seven, eight")
    assert smollm_float32.write(prompt, 4) == said


def test_in_a_chat_a_text_begins_behind_the_template(smollm: ModelSource) -> None:
    chat = TransformersLM.load(smollm, device="cpu", dtype="float32", chat=True)
    prompt, begin = ids(chat, "What is the capital of France?"), ids(chat, "The capital of France is")
    assert chat.write(prompt, 8, begin=begin).startswith(" Paris")


def test_what_is_written_ends_with_its_line(smollm_float32: TransformersLM) -> None:
    prompt = ids(smollm_float32, "Q: 1\nA: one\n\nQ: 2\nA: two\n\nQ: 3\nA: three\n\nQ: 4\nA:")
    assert smollm_float32.write(prompt, 30) == " four"


def test_no_more_is_written_than_wanted(smollm_float32: TransformersLM) -> None:
    prompt = ids(smollm_float32, "one, two, three, four, five, six,")
    assert smollm_float32.write(prompt, 1) == " seven"


def test_an_adapter_writes_otherwise_and_the_base_as_before(tiny: TransformersLM, adapter: Path) -> None:
    prompt = ids(tiny, "Offer: Tea Answer:")
    before = tiny.write(prompt, 8)
    adapted = tiny.adapted("other", adapter)
    assert adapted.write(prompt, 8) != before
    assert tiny.write(prompt, 8) == before
    pair = (prompt, ids(tiny, " Yes"))
    assert adapted.log_likelihoods([pair]) != pytest.approx(tiny.log_likelihoods([pair]))


def test_likelihoods_are_those_of_the_models_own_logits(tiny: TransformersLM) -> None:
    prompt, written = ids(tiny, "Offer: Tea"), ids(tiny, " Answer: Yes")
    (found,) = tiny.log_likelihoods([(prompt, written)])
    whole = [*prompt, *written, tiny.model.config.eos_token_id]
    with torch.inference_mode():
        told = tiny.model(torch.tensor([whole])).logits[0].log_softmax(-1)
    expected = sum(float(told[place - 1, whole[place]]) for place in range(len(prompt), len(whole)))
    assert found == pytest.approx(expected, abs=1e-4)


def test_the_more_expected_text_is_the_likelier(smollm_float32: TransformersLM) -> None:
    prompt = ids(smollm_float32, "The capital of France is")
    texts = [(prompt, ids(smollm_float32, word)) for word in (" Paris.", " cheese.")]
    likely, unlikely = smollm_float32.log_likelihoods(texts)
    assert likely > unlikely
    assert np.isfinite([likely, unlikely]).all()


def test_a_text_that_takes_too_long_is_given_up(tiny: TransformersLM, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tiny._turns, "_limit", 0.0)
    tiny._turns.__init__(tiny.model, 0.0)  # type: ignore[misc]
    with pytest.raises(ScoringError, match="took longer than"):
        tiny.write(ids(tiny, "Offer: Tea"), 8)


def test_a_prompt_that_leaves_no_room_is_refused(tiny: TransformersLM) -> None:
    room = tiny.model.config.max_position_embeddings
    with pytest.raises(ScoringError, match="is longer than"):
        tiny.write(ids(tiny, "Offer: Tea"), room)


def test_texts_behind_one_prompt_are_as_likely_as_each_alone(tiny: TransformersLM) -> None:
    prompts = [ids(tiny, "Offer: Tea Answer:"), ids(tiny, "Offer: a long story of tea Answer:")]
    texts = [(prompt, ids(tiny, text)) for prompt in prompts for text in (" Yes", " No and never", " Tea, please")]
    together = tiny.log_likelihoods(texts)
    assert together.tolist() == pytest.approx([tiny.log_likelihoods([one])[0] for one in texts], abs=1e-4)
    assert len(set(together.round(3))) == len(texts)
    assert tiny.log_likelihoods([]).shape == (0,)


def test_of_no_token_nothing_is_unlikely(tiny: TransformersLM) -> None:
    prompt, written = ids(tiny, "Offer: Tea Answer:"), ids(tiny, " Yes")
    with torch.inference_mode():
        alone = log_likelihoods(tiny.model, [(prompt, written)])[0]
        both = log_likelihoods(tiny.model, [(prompt, []), (prompt, written)])
        assert both.tolist() == pytest.approx([0, alone], abs=1e-4)
        assert log_likelihoods(tiny.model, [(prompt, [])]).tolist() == [0.0]
