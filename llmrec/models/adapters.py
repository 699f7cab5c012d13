"""LoRA adapters beside a base model: several are loaded, one at a time is in use, and the base stays as it is.

An adapter's product is added to that of the base's weights and never merged into them: in bfloat16 a merge rounds the
adapter away, and taking it out again leaves other weights than before.
"""

from __future__ import annotations

import json
import logging
import re
import warnings
from itertools import count
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from llmrec.errors import ModelError, ScoringError
from llmrec.models.faults import is_out_of_memory, scoring_error

__all__ = ["CONFIG", "WEIGHTS", "WRAPPED", "Adapters", "read_adapter"]

CONFIG, WEIGHTS = "adapter_config.json", "adapter_model.safetensors"
_LORA = re.compile(r"\.lora_[AB]\.weight$")
_OUTSIDE = {"lm_head", "embed_tokens", "wte", "embed_out"}
WRAPPED = "base_model.model."
"""What peft writes before the names of a model's weights."""


# peft imports it where it is installed, and it warns of a kernel that nobody asked for.
logging.getLogger("bitsandbytes").setLevel(logging.ERROR)


class Adapters:
    """The adapters of one model; not safe to share between threads while it computes.

    Args:
        model: A model of transformers.
    """

    def __init__(self, model: Any) -> None:
        self._model = model
        self._names: dict[str, str] = {}
        self._numbers = count()
        self._in_use: str | None = None

    def load(self, name: str, directory: Path) -> None:
        """Read an adapter; one of the same name is replaced once the new one is whole.

        Raises:
            ModelError: It is no LoRA adapter in safetensors, or not one for this model.
            ScoringError: The memory is too small.
        """
        # Loaded late: it takes seconds, and with it come libraries that speak on standard error.
        from peft import set_peft_model_state_dict

        config, weights = read_adapter(directory)
        own = f"adapter{next(self._numbers)}"
        try:
            with warnings.catch_warnings():
                warnings.filterwarnings("ignore", "Already found a `peft_config`")  # several are what is wanted
                self._model.add_adapter(config, own)
            found = set_peft_model_state_dict(self._model, weights, adapter_name=own)
            strange = [*found.unexpected_keys, *(key for key in found.missing_keys if f".{own}." in key)]
            if strange:
                raise ValueError(f"{strange[0]} is not in both")
        except (ValueError, RuntimeError, KeyError, TypeError, AttributeError, MemoryError) as error:
            self._clean_up(own)
            if is_out_of_memory(error):
                raise scoring_error(f"loading the adapter in {directory}", error) from error
            reason = str(error).splitlines()[0]
            raise ModelError(
                f"the adapter in {directory} does not fit this model: {reason}", hint="use it with the base it names"
            ) from error
        self._in_use = own
        self.use(None)
        for weight_name, weight in self._model.named_parameters():
            if f".{own}." in weight_name:
                # In the base's format: a product of two formats is several times slower.
                weight.data = weight.data.to(self._model.dtype)
        self._model.eval()
        if name in self._names:
            self._forget(self._names[name])
        self._names[name] = own

    def use(self, name: str | None) -> None:
        """Compute with an adapter from now on, or with the base alone.

        Raises:
            ScoringError: There is no such adapter.
        """
        if name is not None and name not in self._names:
            known = ", ".join(sorted(self._names)) or "none"
            raise ScoringError(f"there is no adapter {name!r}", hint=f"add it first; loaded: {known}")
        own = None if name is None else self._names[name]
        if own == self._in_use:
            return
        if own is None:
            self._model.disable_adapters()
        else:
            self._model.enable_adapters()
            self._model.set_adapter(own)
        self._in_use = own

    def remove(self, name: str) -> None:
        """Let go of an adapter.

        Raises:
            ScoringError: There is no such adapter.
        """
        self.use(name)
        self.use(None)
        self._forget(self._names.pop(name))

    def _clean_up(self, own: str) -> None:
        """Put the base back after an adapter that could not be loaded."""
        if not hasattr(self._model, "peft_config"):
            self._model._hf_peft_config_loaded = False  # transformers sets it before it knows
            return
        self._model.disable_adapters()
        self._in_use = None
        self._forget(own)

    def _forget(self, own: str) -> None:
        if own in getattr(self._model, "peft_config", {}):
            with warnings.catch_warnings():
                warnings.filterwarnings("ignore", "Adapter .* was active")  # of those that stay none is in use
                self._model.delete_adapter(own)


def read_adapter(directory: Path) -> tuple[Any, dict[str, Tensor]]:
    """A LoRA adapter of the layers alone, in safetensors; what else an adapter can change is read elsewhere."""
    try:
        config = json.loads((directory / CONFIG).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ModelError(
            f"{directory} holds no adapter: {error}", hint="name a directory that peft saved an adapter in"
        ) from error
    if not (directory / WEIGHTS).is_file():
        raise ModelError(
            f"{directory} holds no {WEIGHTS}",
            hint="pickled weights (.bin) can run code when loaded; save the adapter with safe serialization",
        )
    from peft import LoraConfig

    try:
        weights = {key.removeprefix(WRAPPED): weight for key, weight in load_file(directory / WEIGHTS).items()}
        lora = LoraConfig.from_pretrained(directory) if config.get("peft_type") == "LORA" else None
    except (OSError, ValueError, TypeError, SafetensorError) as error:
        raise ModelError(f"the adapter in {directory} cannot be read: {error}", hint="copy it again") from error
    # What else is in a file would be written over the base's weights, and stay there.
    others = [key for key in weights if not _LORA.search(key) or not _OUTSIDE.isdisjoint(key.split("."))]
    if lora is None or others or lora.bias != "none" or lora.modules_to_save:
        raise ModelError(
            f"the adapter in {directory} is no LoRA of the layers alone"
            + (f": it holds {others[0]}" if others else ""),
            hint="train it with peft_type LORA and bias none, without modules_to_save, lm_head and embed_tokens",
        )
    lora.init_lora_weights = True  # some ways to begin change the base; the weights are at hand
    return lora, weights
