"""Turning a GGUF file into a directory that every part of llmrec can load, train on and save again.

Packed GGUF weights can be neither trained nor saved, and reading them takes transformers long, so they are unpacked to
bfloat16 safetensors once. What is written depends on the GGUF file alone, not on versions or paths.
"""

from __future__ import annotations

import io
import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr
from pathlib import Path

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer, GgufConfig

from llmrec.errors import ModelError
from llmrec.models.loading import quiet_transformers

__all__ = ["convert_gguf"]

# Notes that transformers adds about itself and about how it was called.
_NOTES = ("transformers_version", "_model_name_or_path", "_from_model_config", "is_local", "local_files_only")


def convert_gguf(gguf: Path, target: Path) -> None:
    """Write the model and the tokenizer of a GGUF file to a directory, weights in bfloat16.

    Raises:
        ModelError: transformers cannot read this file.
    """
    options = {"gguf_file": gguf.name, "local_files_only": True, "trust_remote_code": False}
    try:
        with _bars_on_terminals_only():
            tokenizer = AutoTokenizer.from_pretrained(gguf.parent, **options)
            model = AutoModelForCausalLM.from_pretrained(
                gguf.parent, quantization_config=GgufConfig(dequantize=True), dtype=torch.bfloat16, **options
            )
            model.save_pretrained(target)
            tokenizer.save_pretrained(target)
    except (ValueError, KeyError, NotImplementedError) as error:
        raise ModelError(f"{gguf.name} cannot be converted: {error}", hint="name a model in safetensors") from error
    for name in ("config.json", "generation_config.json", "tokenizer_config.json"):
        _drop_notes(target / name)


def _drop_notes(path: Path) -> None:
    values = json.loads(path.read_text(encoding="utf-8"))
    kept = {key: value for key, value in values.items() if key not in _NOTES}
    path.write_text(json.dumps(kept, indent=2, sort_keys=True, ensure_ascii=False) + "\n", encoding="utf-8")


@contextmanager
def _bars_on_terminals_only() -> Iterator[None]:
    """The unpacking shows a bar that transformers' own switch does not reach."""
    with quiet_transformers(bars=sys.stderr.isatty()):
        if sys.stderr.isatty():
            yield
        else:
            with redirect_stderr(io.StringIO()):
                yield
