"""A language model whose LoRA adapter is being trained: log-odds with gradients, and the adapter's files."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save
from torch import Tensor, nn

from llmrec.errors import ModelError
from llmrec.files import replace_file
from llmrec.models.adapters import CONFIG, WEIGHTS, WRAPPED, read_adapter
from llmrec.models.reader import AnswerReader
from llmrec.models.tree import Ids, PromptTree

__all__ = ["LoraLearner", "LoraShape", "lora_config", "save_adapter"]

_OWN = "learner"


@dataclass(frozen=True, slots=True)
class LoraShape:
    """What an adapter is (Hu et al. 2021): a product of two thin matrices beside each linear layer.

    Args:
        rank: Width of the product.
        alpha: The product counts alpha / rank.
        dropout: Of what goes in, in training.
        last_layers: Only so many of the last layers have one, and gradients stop there; None: all.
        seed: Of its first weights.
    """

    rank: int = 16
    alpha: float = 32.0
    dropout: float = 0.0
    last_layers: int | None = None
    seed: int = 7


class LoraLearner(nn.Module):
    """A base model, frozen, and one adapter in float32 that learns.

    The adapter belongs to this object: `close` takes it away and leaves the base as it was.

    Args:
        name: The base's name, for the adapter's file.
        model: A causal language model of transformers.
        reader: Reads its answers.
        frame: Token ids before and behind every prompt.
        shape: The adapter's shape.
        in_parts: Whether `read_tree` can read the model; it takes two thirds of the time, and has no gradients.
    """

    def __init__(
        self,
        name: str,
        model: Any,
        reader: AnswerReader,
        frame: tuple[Ids, Ids],
        shape: LoraShape,
        *,
        in_parts: bool = False,
    ) -> None:
        super().__init__()
        self.model = model
        self._name = name
        self.reader = reader
        # It keeps nothing: the weights are others after every step.
        self._in_parts = reader.forgetful() if in_parts else None
        self._frame = frame
        self._config = lora_config(name, model, shape)
        model.requires_grad_(False)
        with torch.random.fork_rng(devices=[]):  # the caller's random numbers are the caller's
            torch.manual_seed(shape.seed)
            model.add_adapter(self._config, _OWN)
        model.enable_adapters()
        model.set_adapter(_OWN)
        for weight in self.adapter.values():
            weight.data = weight.data.float()
            weight.requires_grad_(True)

    @property
    def adapter(self) -> dict[str, nn.Parameter]:
        """What learns, by name."""
        return {name: weight for name, weight in self.model.named_parameters() if f".{_OWN}." in name}

    def begin_with(self, directory: Path) -> None:
        """Go on from an adapter that was saved.

        Raises:
            ModelError: It is none, or is of another shape.
        """
        from peft import set_peft_model_state_dict

        config, weights = read_adapter(directory)
        alike = (config.r, config.lora_alpha) == (self._config.r, self._config.lora_alpha)
        found = set_peft_model_state_dict(self.model, weights, adapter_name=_OWN) if alike else None
        if found is None or found.unexpected_keys or any(f".{_OWN}." in key for key in found.missing_keys):
            raise ModelError(
                f"the adapter in {directory} has another shape than [learning] asks for",
                hint="keep learning.rank, alpha and last_layers, or set learning.start to base",
            )
        for weight in self.adapter.values():
            weight.data = weight.data.float()

    def forward(self, trees: Sequence[PromptTree]) -> Tensor:
        """logit(Yes) - logit(No) after prompts, or nats a token of written leaves, float32 [leaves], depth first."""
        framed = [tree.framed(*self._frame) for tree in trees]
        with self._computing():
            if self._in_parts is not None and not torch.is_grad_enabled():
                return self._in_parts.read_tree(framed)
            return self.reader.read_dense(framed)

    def forward_separately(self, trees: Sequence[PromptTree]) -> Tensor:
        """What `forward` gives, from one whole prompt per leaf: the reference."""
        with self._computing():
            return self.reader.read_each([tree.framed(*self._frame) for tree in trees])

    @contextmanager
    def without_adapter(self) -> Iterator[None]:
        """The base alone."""
        self.model.disable_adapters()
        try:
            yield
        finally:
            self.model.enable_adapters()

    @torch.no_grad()
    def save(self, directory: Path) -> None:
        """Round the adapter to bfloat16, here too, and write it as peft does.

        Raises:
            ModelError: A weight is not a number.
        """
        for weight in self.adapter.values():
            weight.copy_(weight.to(torch.bfloat16))
        save_adapter(self.model, self._config, self._name, directory, adapter=_OWN)

    def close(self) -> None:
        """Take the adapter away."""
        self.model.disable_adapters()
        self.model.delete_adapter(_OWN)
        self.model.eval()

    @contextmanager
    def _computing(self) -> Iterator[None]:
        """In the base's number format: peft would else raise every row to the adapter's float32."""
        from peft.helpers import disable_input_dtype_casting

        kind = self.model.dtype
        if kind == torch.float32:
            yield
            return
        with torch.autocast(self.model.device.type, dtype=kind), disable_input_dtype_casting(self.model):
            yield


def lora_config(name: str, model: Any, shape: LoraShape) -> Any:
    """What peft calls such an adapter of a model of that name."""
    # Loaded late: it takes seconds, and with it come libraries that speak on standard error.
    from peft import LoraConfig

    layers = model.config.get_text_config().num_hidden_layers
    last = None if shape.last_layers is None else list(range(max(0, layers - shape.last_layers), layers))
    return LoraConfig(
        r=shape.rank,
        lora_alpha=shape.alpha,
        lora_dropout=shape.dropout,
        target_modules=_linear_layers(model),
        layers_to_transform=last,
        base_model_name_or_path=name,
        task_type="CAUSAL_LM",
    )


@torch.no_grad()
def save_adapter(model: Any, config: Any, name: str, directory: Path, *, adapter: str = "default") -> None:
    """Write a model's adapter as peft does, in bfloat16.

    Args:
        model: A model of transformers or of peft, which has the adapter.
        config: The adapter's.
        name: Of the base.
        directory: Where to.
        adapter: Which one of the model's.

    Raises:
        ModelError: A weight is not a number.
    """
    from peft import get_peft_model_state_dict

    found = get_peft_model_state_dict(model, adapter_name=adapter)
    weights = {WRAPPED + key.removeprefix(WRAPPED): weight for key, weight in found.items()}
    for key, weight in weights.items():
        if not torch.isfinite(weight).all():
            raise ModelError(f"the adapter's {key} is not a number", hint="lower the learning rate in [learning]")
    tensors = {key: weight.to("cpu", torch.bfloat16).contiguous() for key, weight in weights.items()}
    directory.mkdir(parents=True, exist_ok=True)
    replace_file(directory / WEIGHTS, save(tensors, metadata={"format": "pt"}))
    config.inference_mode = True
    config.base_model_name_or_path = name  # transformers puts this machine's path there
    config.save_pretrained(str(directory))
    assert (directory / CONFIG).is_file()


def _linear_layers(model: Any) -> list[str]:
    """The last names of all linear layers but the head."""
    head = model.get_output_embeddings()
    linear = (name for name, one in model.named_modules() if isinstance(one, nn.Linear) and one is not head)
    # Where another adapter stood, peft has put its own module around the layer.
    own = (name.removesuffix(".base_layer") for name in linear if ".lora_" not in name)
    return sorted({name.rpartition(".")[2] for name in own})
