"""Fixtures: a tiny random language model as a workspace's base, so that real trainings take a second."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest
import torch
from transformers import AutoModelForCausalLM, LlamaConfig

from llmrec.models import TransformersLM, resolve
from tests.models.conftest import train_tokenizer


@pytest.fixture(scope="session")
def tiny_base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with a Llama of 3 layers and a tokenizer of 600 words."""
    return made_base(tmp_path_factory.mktemp("base"))


def made_base(directory: Path, *, width: int = 32) -> Path:
    """Write a random Llama of that width and its tokenizer into a directory."""
    words = train_tokenizer()
    torch.manual_seed(5)
    config = LlamaConfig(
        vocab_size=len(words),
        hidden_size=width,
        intermediate_size=2 * width,
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


def launched(script: Sequence[str]) -> list[subprocess.Popen[str]]:
    """Two processes of `accelerate launch`, working together on the CPU."""
    root = Path(__file__).parents[1]
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    common = {
        **os.environ, "PYTHONPATH": str(root), "OMP_NUM_THREADS": "1", "WORLD_SIZE": "2", "LOCAL_WORLD_SIZE": "2",
        "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port),
    }  # fmt: skip
    launch = [
        sys.executable,
        "-m",
        "accelerate.commands.launch",
        "--cpu",
        "--num_processes",
        "2",
        "--num_machines",
        "1",
    ]
    # On CPUs the launcher starts processes through MPI alone, so each is started here with its rank.
    return [
        subprocess.Popen(
            [*launch, "--mixed_precision", "no", "--dynamo_backend", "no", *script],
            env={**common, "RANK": str(rank), "LOCAL_RANK": str(rank)},
            cwd=root,
            stderr=subprocess.PIPE,
            text=True,
        )
        for rank in range(2)
    ]
