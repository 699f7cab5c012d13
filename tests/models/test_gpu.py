"""What is computed on a GPU is what is computed on a CPU: attention in parts, trees, adapters, compiled blocks."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers

from llmrec.models import ModelSource, TransformersLM
from llmrec.models.attention import TreePass, tree_attention
from llmrec.models.tree import lay_out

from .conftest import MakeModel
from .test_adapters import save_adapter
from .test_lm import KINDS, deep_tree, prompt
from .test_tree_attention import LAYER, random_rows, random_tree

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device"),
    pytest.mark.filterwarnings("ignore:.is_gradient_checkpointing. is deprecated:FutureWarning"),
]
GAPS = {"float32": 1e-3, "bfloat16": 0.25}


def both(source: ModelSource, dtype: Any, **options: Any) -> tuple[TransformersLM, TransformersLM]:
    """On the CPU in float32, and on the GPU."""
    on_cpu = TransformersLM.load(source, device="cpu", dtype="float32")
    return on_cpu, TransformersLM.load(source, device="cuda", dtype=dtype, states_bytes=1 << 24, **options)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("seed", range(4))
def test_attention_in_parts_is_that_of_the_cpu(seed: int, dtype: torch.dtype) -> None:
    numbers, generator = np.random.default_rng(seed), torch.Generator().manual_seed(seed)
    layout = lay_out([random_tree(numbers, depth) for depth in (0, 1, 3)], [0, 7, 0])
    rows, context = random_rows(len(layout.ids), generator), random_rows(7, generator)[1:]
    found = []
    for device in (torch.device("cpu"), torch.device("cuda")):
        kind = torch.float32 if device.type == "cpu" else dtype
        query, key, value, *before = (each.to(device, kind) for each in (*rows, *context))
        tree = TreePass(layout, device, (None, [(before[0], before[1])], None))
        found.append(tree_attention(LAYER, query, key, value, None, tree=tree)[0].float().cpu())
    gap = 1e-4 if dtype == torch.float32 else 0.03
    torch.testing.assert_close(found[1], found[0], rtol=gap, atol=gap)


@pytest.mark.parametrize("dtype", GAPS)
@pytest.mark.parametrize("kind", KINDS)
def test_trees_are_read_as_on_the_cpu_and_as_separate_prompts(kind: str, dtype: str, make_model: MakeModel) -> None:
    config_class, settings = KINDS[kind]
    on_cpu, on_gpu = both(make_model(config_class, **settings), dtype)
    assert on_gpu.packs
    tree = deep_tree(on_cpu)
    separate = on_gpu.score_separately([], list(tree.prompts()))
    for _ in range(2):  # from nothing, and from what was read before
        scores = on_gpu.score_trees([tree])
        assert np.abs(scores - on_cpu.score_trees([tree])).max() < GAPS[dtype]
        assert np.abs(scores - separate).max() < GAPS[dtype]


def test_the_order_of_the_suffixes_changes_no_bit(make_model: MakeModel) -> None:
    _, on_gpu = both(make_model(transformers.LlamaConfig), "bfloat16")
    prefix, suffixes = prompt(on_gpu)
    order = [4, 2, 0, 5, 3, 1]
    assert np.array_equal(
        on_gpu.score(prefix, [suffixes[place] for place in order]), on_gpu.score(prefix, suffixes)[order]
    )


@pytest.mark.parametrize("dtype", GAPS)
def test_an_adapter_is_added_as_on_the_cpu(dtype: str, make_model: MakeModel, tmp_path: Path) -> None:
    source = make_model(transformers.LlamaConfig)
    on_cpu, on_gpu = both(source, dtype)
    adapter = save_adapter(source, tmp_path / "one", 1)
    scores = [lm.adapted("one", adapter).score(*prompt(lm)) for lm in (on_cpu, on_gpu)]
    assert np.abs(scores[1] - scores[0]).max() < GAPS[dtype]
    assert np.abs(scores[0] - on_cpu.score(*prompt(on_cpu))).max() > 0.05


def test_compiled_it_gives_the_same_scores(make_model: MakeModel) -> None:
    on_cpu, compiled = both(make_model(transformers.LlamaConfig), "float32", compile=True)
    for count in (6, 2):
        prefix, suffixes = prompt(on_cpu)
        asked = (prefix, suffixes[:count])
        assert np.abs(compiled.score(*asked) - on_cpu.score(*asked)).max() < GAPS["float32"]
