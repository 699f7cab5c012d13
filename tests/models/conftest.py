from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
from transformers import AutoModelForCausalLM, PreTrainedTokenizerFast

from llmrec.models import ModelSource, TransformersLM, resolve

_CORPUS = [
    "A customer is choosing. So far the customer took these, oldest first: The Silver Harbour, Rain Songs",
    "Offer: Tea Answer: Yes Offer: A long walk in autumn, with map Answer: No Offer: Ink Answer: Yes",
    "Offer: Red, blue (large) Answer: No Offer: A short trip by train, at dawn Old, grey (small) Answer: Yes",
]


@pytest.fixture(scope="session")
def smollm() -> ModelSource:
    return resolve("smollm2-135m-instruct", "language-model")


@pytest.fixture(scope="session")
def minilm() -> ModelSource:
    return resolve("all-minilm-l6-v2", "text-encoder")


@pytest.fixture(scope="session")
def smollm_float32(smollm: ModelSource) -> TransformersLM:
    return TransformersLM.load(smollm, device="cpu", dtype="float32")


def train_tokenizer(*, start: bool = False) -> PreTrainedTokenizerFast:
    """Byte-level BPE with " Yes" and " No" as tokens, <|end|> as a control token and <tool> as an added word."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=600,
        special_tokens=["<|start|>", "<|end|>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(_CORPUS * 3, trainer)
    tokenizer.add_tokens(["<tool>"])
    if start:
        tokenizer.post_processor = processors.TemplateProcessing(
            single="<|start|> $A", special_tokens=[("<|start|>", 0)]
        )
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, bos_token="<|start|>", eos_token="<|end|>")


@pytest.fixture(scope="session")
def tokenizer() -> PreTrainedTokenizerFast:
    return train_tokenizer()


MakeModel = Callable[..., ModelSource]


@pytest.fixture
def make_model(tmp_path: Path, tokenizer: PreTrainedTokenizerFast) -> MakeModel:
    """Save a random model of a configuration class; weights are large, so that every fault shows in the scores."""

    def make(config_class: type[Any], *, words: PreTrainedTokenizerFast = tokenizer, **settings: Any) -> ModelSource:
        sizes = {
            "vocab_size": len(words),
            "hidden_size": 32,
            "intermediate_size": 48,
            "num_hidden_layers": 3,
            "num_attention_heads": 4,
            "num_key_value_heads": 2,
            "initializer_range": 0.3,
            "pad_token_id": 0,
            "bos_token_id": 0,
            "eos_token_id": 1,
        }
        torch.manual_seed(5)
        model = AutoModelForCausalLM.from_config(config_class(**{**sizes, **settings}))
        model.save_pretrained(tmp_path / "model")
        words.save_pretrained(tmp_path / "model")
        return resolve(str(tmp_path / "model"), "language-model")

    return make
