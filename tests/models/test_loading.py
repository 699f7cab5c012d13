from __future__ import annotations

import subprocess
import sys
from typing import Any

import pytest
import torch
from transformers.utils import logging as transformers_logging

from llmrec.errors import ModelError
from llmrec.models import choose_device, choose_dtype
from llmrec.models.loading import quiet_transformers


@pytest.mark.parametrize(
    ("abilities", "expected"),
    [({"amx_bf16": True}, torch.bfloat16), ({"avx512_bf16": True}, torch.float32), ({"avx2": True}, torch.float32)],
)
def test_auto_is_bfloat16_only_where_the_processor_computes_in_it(
    abilities: dict[str, bool], expected: torch.dtype, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: abilities)
    assert choose_dtype("auto", torch.device("cpu")) == expected


@pytest.mark.parametrize(("name", "expected"), [("float32", torch.float32), ("bfloat16", torch.bfloat16)])
def test_a_named_number_format_is_taken(name: Any, expected: torch.dtype) -> None:
    assert choose_dtype(name, torch.device("cpu")) == expected


@pytest.mark.parametrize("name", ["gpu", "cuda:99", ""])
def test_devices_that_do_not_exist_are_refused(name: str) -> None:
    with pytest.raises(ModelError, match="device"):
        choose_device(name)


def test_auto_finds_a_device() -> None:
    assert choose_device("auto").type in ("cpu", "cuda")


def test_transformers_is_as_loud_afterwards_as_before() -> None:
    level, bars = transformers_logging.get_verbosity(), transformers_logging.is_progress_bar_enabled()
    with quiet_transformers():
        assert not transformers_logging.is_progress_bar_enabled()
    assert transformers_logging.get_verbosity() == level
    assert transformers_logging.is_progress_bar_enabled() == bars


def test_importing_the_package_loads_no_torch() -> None:
    code = (
        "import sys; from llmrec.models import Encoder, LanguageModel, Segment, known_models, resolve; known_models();"
        "sys.exit(any(name in sys.modules for name in ('torch', 'transformers')))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_all_public_names_exist_and_are_sorted() -> None:
    import llmrec.models

    assert llmrec.models.__all__ == sorted(llmrec.models.__all__)
    assert all(getattr(llmrec.models, name) for name in llmrec.models.__all__)
    with pytest.raises(AttributeError):
        _ = llmrec.models.nothing
