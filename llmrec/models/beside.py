"""How an adapter's product is added to that of the base's weights: in place, as part of the second thin product.

peft multiplies the product by its scale and adds it to the base's as two more passes over all rows: a tenth of a
layer's products on a CPU, a twentieth of a request (LOG.md). Here scale and sum are the matrix product's own.
"""

from __future__ import annotations

from typing import Any

from torch import Tensor

__all__ = ["add_in_place"]


def add_in_place(model: Any, adapter: str) -> None:
    """Let a LoRA adapter of linear layers be added in place from now on; for inference alone.

    Args:
        model: A model of transformers that has the adapter.
        adapter: By which name peft knows it.
    """
    from peft.tuners.lora import Linear

    for layer in model.modules():
        # Layers of other kinds, such as those in 4 bits, have forward passes of their own.
        if type(layer) is Linear and adapter in layer.lora_A and adapter not in layer.lora_variant:
            layer.lora_variant[adapter] = _InPlace


class _InPlace:
    """What peft calls in place of its own sum (peft's LoraVariant)."""

    @staticmethod
    def forward(layer: Any, active_adapter: str, x: Tensor, result: Tensor, **_: Any) -> Tensor:
        """The base's product, [..., out], and on top of it the adapter's for the same rows, [..., in]."""
        thin, wide = layer.lora_A[active_adapter](x), layer.lora_B[active_adapter].weight
        rows = result.view(-1, result.shape[-1])
        rows.addmm_(thin.view(-1, thin.shape[-1]), wide.T, alpha=layer.scaling[active_adapter])
        return result
