"""A compiled model: compiled once for prompts of every length, and for adapters that come and go."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
import transformers

from llmrec.models import TransformersLM

from .conftest import MakeModel
from .test_adapters import save_adapter
from .test_lm import OFFERS, prompt

pytestmark = [
    pytest.mark.skipif(shutil.which("g++") is None, reason="inductor needs a C++ compiler"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),  # inductor's own
    pytest.mark.filterwarnings("ignore:.is_gradient_checkpointing. is deprecated:FutureWarning"),
]


def test_no_length_and_no_layer_is_compiled_anew(make_model: MakeModel) -> None:
    # More layers than torch compiles one function for, before it gives up, else in silence.
    source = make_model(transformers.LlamaConfig, num_hidden_layers=12)
    lm = TransformersLM.load(source, device="cpu", dtype="float32")
    prefix, suffixes = prompt(lm)
    torch._dynamo.reset()
    with torch._dynamo.config.patch(fail_on_recompile_limit_hit=True):
        compiled = TransformersLM.load(source, device="cpu", dtype="float32", compile=True)
        compiled.score(prefix, suffixes)
    with torch._dynamo.config.patch(error_on_recompile=True):
        for length in (3, 7, len(prefix), 3 * len(prefix)):
            for count in range(1, len(OFFERS)):
                asked = ((prefix * 3)[:length], suffixes[:count])
                assert np.abs(compiled.score(*asked) - lm.score(*asked)).max() < 1e-4


def test_adapters_are_swapped_more_often_than_torch_compiles_one_function(
    make_model: MakeModel, tmp_path: Path
) -> None:
    source = make_model(transformers.LlamaConfig, num_hidden_layers=2)
    adapters = [save_adapter(source, tmp_path / str(seed), seed) for seed in range(2)]
    lm, compiled = (TransformersLM.load(source, device="cpu", dtype="float32", compile=way) for way in (False, True))
    asked = prompt(lm)
    expected = [lm.adapted("live", path).score(*asked) for path in adapters]
    for turn in range(10):
        assert np.abs(compiled.adapted("live", adapters[turn % 2]).score(*asked) - expected[turn % 2]).max() < 1e-4
    assert np.abs(compiled.score(*asked) - lm.score(*asked)).max() < 1e-4
