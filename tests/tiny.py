"""Fixtures: a tiny random language model as a workspace's base, so that real trainings take a second."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import IO

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


def launched(script: Sequence[str], directory: Path, *, seconds: float = 240.0) -> list[int | None]:
    """Run a script in two processes of `accelerate launch`, working together on the CPU, to their ends.

    Args:
        script: The script and its arguments.
        directory: Where `0.err` and `1.err` keep what the processes write to their standard errors.
        seconds: When both are ended.

    Returns:
        The exit codes; `None` for a process that had to be ended, be it that the other one failed and it waited.
    """
    with socket.socket() as free, contextlib.ExitStack() as files:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
        free.close()
        started = [
            _process(script, rank, port, files.enter_context((directory / f"{rank}.err").open("w")))
            for rank in range(2)
        ]
        end = time.monotonic() + seconds
        while None in (codes := [one.poll() for one in started]) and time.monotonic() < end:
            if any(codes):
                end = min(end, time.monotonic() + 20.0)
            time.sleep(0.1)
        for one in started:
            # The launcher's own child is in its group, and would hold the port.
            with contextlib.suppress(ProcessLookupError):
                os.killpg(one.pid, signal.SIGKILL)
            one.wait()
    return codes


def _process(script: Sequence[str], rank: int, port: int, errors: IO[str]) -> subprocess.Popen[str]:
    """One process with its rank: on CPUs the launcher starts several of them through MPI alone."""
    root = Path(__file__).parents[1]
    # The launcher replaces the port of the environment by its own.
    launch = ["-m", "accelerate.commands.launch", "--cpu", "--num_processes", "2", "--main_process_port", str(port)]
    fixed = ["--num_machines", "1", "--mixed_precision", "no", "--dynamo_backend", "no"]
    return subprocess.Popen(
        [sys.executable, *launch, *fixed, *script],
        env={
            **os.environ,
            "PYTHONPATH": str(root),
            "OMP_NUM_THREADS": "1",
            "WORLD_SIZE": "2",
            "LOCAL_WORLD_SIZE": "2",
            "MASTER_ADDR": "127.0.0.1",
            "RANK": str(rank),
            "LOCAL_RANK": str(rank),
        },
        cwd=root,
        stderr=errors,
        text=True,
        start_new_session=True,
    )
