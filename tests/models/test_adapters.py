"""LoRA adapters beside their base."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import peft
import pytest
import torch
import transformers
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM

from llmrec.errors import ModelError, ScoringError
from llmrec.models import ModelSource, TransformersLM

from .conftest import MakeModel
from .test_lm import prompt

# peft still asks transformers by an old name.
pytestmark = pytest.mark.filterwarnings("ignore:.is_gradient_checkpointing. is deprecated:FutureWarning")

TARGETS = ["q_proj", "v_proj", "down_proj"]


def save_adapter(source: ModelSource, directory: Path, seed: int, **settings: Any) -> Path:
    """An adapter as peft saves it, with weights that change the scores."""
    torch.manual_seed(seed)
    model = AutoModelForCausalLM.from_pretrained(source.path)
    config = peft.LoraConfig(**{"r": 4, "target_modules": TARGETS, "init_lora_weights": False, **settings})
    peft.get_peft_model(model, config).save_pretrained(directory)
    return directory


@pytest.fixture
def source(make_model: MakeModel) -> ModelSource:
    return make_model(transformers.LlamaConfig)


@pytest.fixture
def lm(source: ModelSource) -> TransformersLM:
    return TransformersLM.load(source, device="cpu", dtype="float32", states_bytes=1 << 24)


def merged_scores(source: ModelSource, adapter: Path, lm: TransformersLM) -> np.ndarray:
    """What a model gives whose weights hold the adapter."""
    whole = peft.PeftModel.from_pretrained(
        AutoModelForCausalLM.from_pretrained(source.path), adapter
    ).merge_and_unload()
    prefix, suffixes = prompt(lm)
    yes, no = lm._reader.labels
    with torch.inference_mode():
        rows = [whole(torch.tensor([[*prefix, *suffix]])).logits[0, -1] for suffix in suffixes]
    return np.array([float(row[yes] - row[no]) for row in rows])


def test_adapters_and_the_base_answer_each_for_itself(source: ModelSource, lm: TransformersLM, tmp_path: Path) -> None:
    base = lm.score(*prompt(lm))
    adapters = {name: save_adapter(source, tmp_path / name, seed) for seed, name in enumerate(["one", "other.2"])}
    expected = {name: merged_scores(source, path, lm) for name, path in adapters.items()}
    for name, path in adapters.items():
        lm.add_adapter(name, path)
    for name in ("one", "other.2", "one"):
        assert np.abs(lm.score(*prompt(lm), adapter=name) - expected[name]).max() < 1e-4
        assert np.array_equal(lm.score(*prompt(lm)), base)
        assert np.abs(lm.score_separately(*prompt(lm), adapter=name) - expected[name]).max() < 1e-4
    assert np.abs(expected["one"] - base).max() > 0.05
    assert np.abs(expected["one"] - expected["other.2"]).max() > 0.05


def test_an_adapter_can_be_replaced_and_removed(source: ModelSource, lm: TransformersLM, tmp_path: Path) -> None:
    base = lm.score(*prompt(lm))
    paths = [save_adapter(source, tmp_path / str(seed), seed) for seed in (1, 2)]
    for path in paths:
        lm.add_adapter("champion", path)
        assert np.abs(lm.score(*prompt(lm), adapter="champion") - merged_scores(source, path, lm)).max() < 1e-4
    lm.remove_adapter("champion")
    assert not [name for name, _ in lm.model.named_parameters() if "lora" in name]
    assert np.array_equal(lm.score(*prompt(lm)), base)


def test_an_adapter_computes_in_the_models_format(source: ModelSource, tmp_path: Path) -> None:
    lm = TransformersLM.load(source, device="cpu", dtype="bfloat16")
    lm.add_adapter("one", save_adapter(source, tmp_path / "one", 1))
    lm.score(*prompt(lm), adapter="one")
    weights = {name: weight for name, weight in lm.model.named_parameters() if "lora" in name}
    assert weights
    assert {weight.dtype for weight in weights.values()} == {torch.bfloat16}


def test_an_adapter_for_another_base_is_refused_and_changes_nothing(
    lm: TransformersLM, make_model: MakeModel, tmp_path: Path
) -> None:
    base = lm.score(*prompt(lm))
    deeper = make_model(transformers.LlamaConfig, num_hidden_layers=4)
    wider = make_model(transformers.LlamaConfig, intermediate_size=64)
    for other in (deeper, wider):
        with pytest.raises(ModelError, match="does not fit this model") as caught:
            lm.add_adapter("one", save_adapter(other, tmp_path / "other", 1))
        assert caught.value.hint
    assert np.array_equal(lm.score(*prompt(lm)), base)
    assert not [name for name, _ in lm.model.named_parameters() if "lora" in name]


def test_what_is_no_lora_of_the_layers_in_safetensors_is_refused(
    source: ModelSource, lm: TransformersLM, tmp_path: Path
) -> None:
    with pytest.raises(ModelError, match="holds no adapter"):
        lm.add_adapter("one", tmp_path / "nowhere")
    pickled = save_adapter(source, tmp_path / "pickled", 1)
    (pickled / "adapter_model.safetensors").rename(pickled / "adapter_model.bin")
    with pytest.raises(ModelError, match=r"holds no adapter_model.safetensors") as caught:
        lm.add_adapter("one", pickled)
    assert "pickled" in caught.value.hint
    damaged = save_adapter(source, tmp_path / "damaged", 1)
    (damaged / "adapter_model.safetensors").write_bytes(b"no tensors")
    with pytest.raises(ModelError, match="cannot be read"):
        lm.add_adapter("one", damaged)


@pytest.mark.parametrize(
    "extra",
    [
        "base_model.model.model.embed_tokens.weight",
        "base_model.model.model.layers.0.mlp.gate_proj.weight",
        "base_model.model.model.layers.0.self_attn.q_proj.base_layer.weight",
        "base_model.model.lm_head.lora_A.weight",
    ],
)
def test_weights_of_the_base_in_an_adapter_are_refused(
    extra: str, source: ModelSource, lm: TransformersLM, tmp_path: Path
) -> None:
    base = lm.score(*prompt(lm))
    path = save_adapter(source, tmp_path / "one", 1)
    weights = load_file(path / "adapter_model.safetensors")
    save_file({**weights, extra: torch.zeros(32, 32)}, path / "adapter_model.safetensors")
    with pytest.raises(ModelError, match="no LoRA of the layers alone: it holds"):
        lm.add_adapter("one", path)
    assert np.array_equal(lm.score(*prompt(lm)), base)


def test_how_an_adapter_began_changes_nothing(source: ModelSource, lm: TransformersLM, tmp_path: Path) -> None:
    base = lm.score(*prompt(lm))
    path = save_adapter(source, tmp_path / "one", 1)
    expected = merged_scores(source, path, lm)
    config = json.loads((path / "adapter_config.json").read_text(encoding="utf-8"))
    (path / "adapter_config.json").write_text(json.dumps(config | {"init_lora_weights": "pissa"}), encoding="utf-8")
    lm.add_adapter("one", path)
    assert np.array_equal(lm.score(*prompt(lm)), base)
    assert np.abs(lm.score(*prompt(lm), adapter="one") - expected).max() < 1e-4


def test_after_an_adapter_for_quite_another_model_a_good_one_works(
    source: ModelSource, lm: TransformersLM, tmp_path: Path
) -> None:
    path = save_adapter(source, tmp_path / "other", 1)
    config = json.loads((path / "adapter_config.json").read_text(encoding="utf-8"))
    (path / "adapter_config.json").write_text(json.dumps(config | {"target_modules": ["c_attn"]}), encoding="utf-8")
    with pytest.raises(ModelError, match="does not fit this model"):
        lm.add_adapter("one", path)
    good = save_adapter(source, tmp_path / "good", 1)
    lm.add_adapter("one", good)
    assert np.abs(lm.score(*prompt(lm), adapter="one") - merged_scores(source, good, lm)).max() < 1e-4


def test_an_adapter_that_is_not_there_is_a_failed_request(lm: TransformersLM) -> None:
    with pytest.raises(ScoringError, match="no adapter 'gone'"):
        lm.score(*prompt(lm), adapter="gone")
    with pytest.raises(ScoringError, match="no adapter 'gone'"):
        lm.remove_adapter("gone")


def test_an_adapter_without_a_name_is_not_the_base(source: ModelSource, lm: TransformersLM, tmp_path: Path) -> None:
    path = save_adapter(source, tmp_path / "one", 1)
    lm.score(*prompt(lm))
    lm.add_adapter("", path)
    assert np.abs(lm.score(*prompt(lm), adapter="") - merged_scores(source, path, lm)).max() < 1e-4


@pytest.mark.parametrize("changed", [{"peft_type": "IA3"}, {"bias": "lora_only"}, {"modules_to_save": ["norm"]}])
def test_what_changes_more_than_the_layers_is_refused(
    changed: dict[str, Any], source: ModelSource, lm: TransformersLM, tmp_path: Path
) -> None:
    path = save_adapter(source, tmp_path / "one", 1)
    config = json.loads((path / "adapter_config.json").read_text(encoding="utf-8"))
    (path / "adapter_config.json").write_text(json.dumps(config | changed), encoding="utf-8")
    with pytest.raises(ModelError, match="no LoRA of the layers alone"):
        lm.add_adapter("one", path)


@pytest.mark.parametrize("fault", [torch.OutOfMemoryError("no memory left"), MemoryError()])
def test_no_memory_for_an_adapter_is_a_failed_request_and_not_its_fault(
    fault: Exception, source: ModelSource, lm: TransformersLM, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, base = save_adapter(source, tmp_path / "one", 1), lm.score(*prompt(lm))

    def no_memory(*_: object, **__: object) -> None:
        raise fault

    with monkeypatch.context() as harm:
        harm.setattr(peft, "set_peft_model_state_dict", no_memory)
        with pytest.raises(ScoringError, match="ran out of memory"):
            lm.add_adapter("one", path)
    assert np.array_equal(lm.score(*prompt(lm)), base)
    lm.add_adapter("one", path)
    assert np.abs(lm.score(*prompt(lm), adapter="one") - base).max() > 0.05
