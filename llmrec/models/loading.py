"""What loading any model needs: the device, the number format, and transformers keeping quiet."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from typing import Any, Literal

import torch
from safetensors import SafetensorError
from transformers import AutoTokenizer, BitsAndBytesConfig
from transformers.utils import logging as transformers_logging

from llmrec.errors import MissingExtraError, ModelError
from llmrec.models.sources import ModelSource

__all__ = ["DtypeName", "choose_device", "choose_dtype", "load_pretrained", "load_tokenizer", "quiet_transformers"]

DtypeName = Literal["auto", "bfloat16", "float32"]


def choose_device(name: str) -> torch.device:
    """The device of that name; auto is the GPU where there is one.

    Raises:
        ModelError: There is no such device here.
    """
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise ModelError(f"there is no device {name!r}", hint="set models.device to auto, cpu or cuda") from error
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise ModelError(f"the device {name!r} is not on this machine", hint="set models.device to auto or cpu")
    return device


def choose_dtype(name: DtypeName, device: torch.device, *, training: bool = False) -> torch.dtype:
    """The number format of that name; auto is bfloat16 where the processor computes in it, else float32.

    Args:
        name: auto, bfloat16 or float32.
        device: Where.
        training: Whether the model is to be trained: steps of the optimizer are noisier than the rounding.
    """
    if name != "auto":
        return torch.bfloat16 if name == "bfloat16" else torch.float32
    quicker = training and device.type == "cpu" and bool(torch.cpu.get_capabilities().get("avx512_bf16"))
    return torch.bfloat16 if quicker or _computes_in_bfloat16(device) else torch.float32


def _computes_in_bfloat16(device: torch.device) -> bool:
    if device.type == "cuda":
        return torch.cuda.get_device_capability(device) >= (8, 0)  # older ones only emulate it
    # AVX-512 alone computes in bfloat16 too, but only 1.5 times as fast as in float32: not worth its rounding, which
    # moves a score by a few hundredths.
    return device.type == "cpu" and bool(torch.cpu.get_capabilities().get("amx_bf16"))


@contextmanager
def quiet_transformers(*, bars: bool = False) -> Iterator[None]:
    """Keep transformers' remarks, and unless wanted its progress bars, off the terminal."""
    level = transformers_logging.get_verbosity()
    had_bars = transformers_logging.is_progress_bar_enabled()
    transformers_logging.set_verbosity_error()
    if had_bars and not bars:
        transformers_logging.disable_progress_bar()
    try:
        yield
    finally:
        transformers_logging.set_verbosity(level)
        if had_bars:
            transformers_logging.enable_progress_bar()


def load_pretrained(
    auto: Any, source: ModelSource, device: torch.device, dtype: torch.dtype, *, four_bit: bool = False
) -> Any:
    """A model for inference: from safetensors, without remote code, every weight found in the files.

    Attention is torch's own (sdpa) where transformers has it for this model.

    Raises:
        MissingExtraError: 4 bits are wanted and bitsandbytes is not installed.
        ModelError: transformers cannot make this model, or weights are missing or of another shape.
    """
    hint = f"check the files in {source.path}, or choose another model"
    try:
        with quiet_transformers():
            model, report = auto.from_pretrained(
                source.path,
                dtype=dtype,
                use_safetensors=True,
                trust_remote_code=False,
                local_files_only=True,
                output_loading_info=True,
                **(_in_four_bits(device, dtype) if four_bit else {}),
            )
            model = _unpacked(model).eval() if four_bit else model.to(device).eval()
    except (OSError, ValueError, KeyError, ImportError, RuntimeError, SafetensorError) as error:
        raise ModelError(f"{source.name} cannot be loaded: {error}", hint=hint) from error
    # transformers would fill these with random numbers.
    lacking = sorted(map(str, (*report["missing_keys"], *report["mismatched_keys"])))
    if lacking:
        raise ModelError(f"{source.name} lacks weights, or has them in another shape: {lacking[0]}", hint=hint)
    return model


def require_four_bits() -> None:
    """Refuse to go on without what 4 bits need.

    Raises:
        MissingExtraError: It is not installed.
    """
    if not find_spec("bitsandbytes"):
        raise MissingExtraError("bitsandbytes", extra="gpu", purpose="a model in 4 bits")


def _in_four_bits(device: torch.device, dtype: torch.dtype) -> dict[str, Any]:
    require_four_bits()
    config = BitsAndBytesConfig(
        load_in_4bit=True, bnb_4bit_quant_type="nf4", bnb_4bit_use_double_quant=True, bnb_4bit_compute_dtype=dtype
    )
    return {"quantization_config": config, "device_map": {"": device}}


def _unpacked(model: Any) -> Any:
    """On a CPU bitsandbytes repacks weights at the first pass without gradients, and cannot train with those."""
    for module in model.modules():
        if hasattr(module, "support_avx512bf16_for_cpu"):
            module.support_avx512bf16_for_cpu = False
    return model


def load_tokenizer(source: ModelSource) -> Any:
    """The tokenizer beside a model.

    Raises:
        ModelError: There is none that transformers can read.
    """
    try:
        with quiet_transformers():
            return AutoTokenizer.from_pretrained(source.path, trust_remote_code=False, local_files_only=True)
    except (OSError, ValueError, KeyError, ImportError) as error:
        raise ModelError(
            f"the tokenizer of {source.name} cannot be loaded: {error}", hint=f"check the files in {source.path}"
        ) from error
