"""Fixtures: a tiny random language model as a workspace's base, so that real trainings take a second."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from transformers import AutoModelForCausalLM, LlamaConfig

from llmrec.models import TransformersLM, resolve
from tests.models.conftest import train_tokenizer


@pytest.fixture(scope="session")
def tiny_base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with a Llama of 3 layers and a tokenizer of 600 words."""
    directory, words = tmp_path_factory.mktemp("base"), train_tokenizer()
    torch.manual_seed(5)
    config = LlamaConfig(
        vocab_size=len(words),
        hidden_size=32,
        intermediate_size=48,
        num_hidden_layers=3,
        num_attention_heads=4,
        num_key_value_heads=2,
        initializer_range=0.05,
        pad_token_id=0,
        bos_token_id=0,
        eos_token_id=1,
    )
    AutoModelForCausalLM.from_config(config).save_pretrained(directory)
    words.save_pretrained(directory)
    return directory


@pytest.fixture
def tiny(tiny_base: Path) -> TransformersLM:
    return TransformersLM.load(resolve(str(tiny_base), "language-model"), device="cpu", dtype="float32")
