"""The trial of a freshly loaded model: is its answer read right, and can its prompts be packed?

A model that cannot be packed (linear attention, convolutions, ALiBi, an ignored mask) does not complain: its
scores are just wrong. So made-up candidates are scored packed and separately. For the trial the weights are widened to
float32 where that takes little memory; larger models are compared in their own format, which can miss small faults.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Literal

import torch

from llmrec.errors import ModelError
from llmrec.models import attention
from llmrec.models.reader import AnswerReader
from llmrec.models.segments import Segment
from llmrec.models.tokens import Tokens
from llmrec.models.tree import Ids, PromptTree, flat

__all__ = ["Method", "attention_window", "choose_method"]

Method = Literal["tree", "dense", "separate"]
"""As a tree in parts, as one sequence under a mask, or each prompt by itself."""

_PREFIX = "A customer is choosing. So far the customer took these, oldest first:\n- The Silver Harbour\n- Rain Songs\n"
_SUFFIXES = (
    "Offer: Tea\nAnswer:",
    "Offer: A long walk in autumn, with map\nAnswer:",
    "Offer: Red, blue (large)\nAnswer:",
)
_OTHERS = ("Offer: Ink\nAnswer:", "Offer: A short trip by train, at dawn\nAnswer:", "Offer: Old, grey (small)\nAnswer:")
_PACKABLE_LAYERS = {"full_attention", "sliding_attention"}
_OWN_ATTENTION = "its attention is not torch's own"
_WIDEST = 4 << 30  # bytes of float32 weights
# Log-odds. Right models were seen to differ by 1e-5 in float32 and by .09 in bfloat16, wrong ones by .1 to .9.
_TOLERANCE = {torch.float32: 3e-4}
_COARSE_TOLERANCE = 0.25


def choose_method(reader: AnswerReader, tokens: Tokens) -> tuple[Method, str]:
    """How this model is to be read, and in words why not as a tree; empty if it is.

    Raises:
        ModelError: Its answer cannot even be read from separate prompts.
    """
    prefix = (*tokens.start, *tokens.ids(Segment(_PREFIX, trusted=True)))
    suffixes, others = (
        [tuple(tokens.ids(Segment(text, trusted=True))) for text in texts] for texts in (_SUFFIXES, _OTHERS)
    )
    with torch.inference_mode(), _widened(reader.model):
        _check_readout(reader, prefix)
        obstacle = _declared_obstacle(reader.model, len(prefix) + max(map(len, suffixes)))
        if obstacle:
            return "separate", obstacle
        own = reader.model.config._attn_implementation != attention.NAME
        problem = _OWN_ATTENTION if own else _trial(reader.read_tree, reader, prefix, suffixes, others)
        of_dense = _trial(reader.read_dense, reader, prefix, suffixes, others) if problem else ""
    if of_dense:
        return "separate", of_dense
    return ("dense" if problem else "tree"), problem


def attention_window(config: Any) -> int | None:
    """The longest prompt in which every layer sees all that stands before it; None: any.

    Packing spreads a prompt over a long sequence, and a window would be counted along that.
    """
    window: int | None = getattr(config, "sliding_window", None)
    layers = getattr(config, "layer_types", None)
    slides = getattr(config, "use_sliding_window", True) and (layers is None or "sliding_attention" in layers)
    return window if slides else None


def _declared_obstacle(model: Any, length: int) -> str:
    """What the model says of itself; a trial would find these too, but not their names."""
    config = model.config
    strange = sorted(set(getattr(config, "layer_types", None) or ()) - _PACKABLE_LAYERS)
    if strange:
        return f"it has {strange[0].replace('_', ' ')} layers"
    if getattr(config, "alibi", False):
        return "it weighs tokens by their distance in the sequence (ALiBi)"
    if "position_ids" not in inspect.signature(model.base_model.forward).parameters:
        return "it takes no positions"
    window = attention_window(config)
    if window is not None and window < length:
        return f"its attention window of {window} tokens is shorter than a prompt"
    return ""


def _trial(
    read: Callable[[Sequence[PromptTree]], torch.Tensor],
    reader: AnswerReader,
    prefix: Ids,
    suffixes: list[Ids],
    others: list[Ids],
) -> str:
    tolerance = _TOLERANCE.get(reader.model.dtype, _COARSE_TOLERANCE)
    more = [*others, *suffixes]
    deep = PromptTree(prefix[:-4], (PromptTree(prefix[-4:], flat((), suffixes).children), *flat((), others).children))
    try:
        # The second tree meets what the first one left behind.
        found = [read([tree])[-len(suffixes) :] for tree in (flat(prefix, suffixes), flat(prefix, more))]
        found.append(read([deep])[: len(suffixes)])
    except (TypeError, ValueError, RuntimeError, IndexError, AttributeError) as error:
        return f"it does not take a packed prompt: {error}"
    separate = reader.read_each([PromptTree((*prefix, *suffix)) for suffix in suffixes])
    gap = max(float((scores - separate).abs().max()) for scores in found)
    # A gap that is not a number is no agreement either.
    return "" if gap <= tolerance else f"packed and separate scores differ by {gap:.2g} in a trial"


def _check_readout(reader: AnswerReader, prompt: Ids) -> None:
    ids = torch.tensor([prompt], device=reader.model.device)
    theirs = reader.model(input_ids=ids, use_cache=False).logits[0, -1, reader.labels].float()
    hidden = reader.model.base_model(input_ids=ids, use_cache=False).last_hidden_state[:, -1]
    ours = reader.readout.logits(hidden)[0]
    gap, size = float((ours - theirs).abs().max()), max(1.0, float(theirs.abs().max()))
    if not gap <= size * _TOLERANCE.get(reader.model.dtype, _COARSE_TOLERANCE):
        raise ModelError(
            f"the answers of this {reader.model.config.model_type} model are not read right: "
            f"its own logits differ from its head's rows by {gap:.2g}",
            hint="use another model; this kind bends its logits in a way that llmrec does not know",
        )


@contextmanager
def _widened(model: Any) -> Iterator[None]:
    """Compute in float32 for a while, so that rounding hides no fault, if the weights are small enough for that."""
    kept = [
        (weight, weight.data)
        for weight in model.parameters()
        if weight.is_floating_point() and weight.dtype != torch.float32
    ]
    if sum(weight.numel() * 4 for weight, _ in kept) > _WIDEST:
        kept = []
    try:
        for weight, data in kept:
            weight.data = data.float()
        yield
    finally:
        for weight, data in kept:
            weight.data = data
