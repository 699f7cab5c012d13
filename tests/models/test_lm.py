from __future__ import annotations

import copy
import logging
import shutil
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
import torch
import transformers

from llmrec.errors import ModelError, ScoringError
from llmrec.models import ModelSource, Segment, TransformersLM, probing
from llmrec.models import lm as lm_module
from llmrec.models.tree import PromptTree, flat

from .conftest import MakeModel, train_tokenizer

OFFERS = ["Tea", "Ink, blue", "A long walk in autumn, with map", "Red", "Rain Songs", "Tea"]

PACKABLE: dict[str, tuple[type[Any], dict[str, Any]]] = {
    "llama": (transformers.LlamaConfig, {}),
    "llama with tied weights": (transformers.LlamaConfig, {"tie_word_embeddings": True}),
    "qwen2": (transformers.Qwen2Config, {}),
    "qwen3": (transformers.Qwen3Config, {"head_dim": 8}),
    "learned positions (gpt2)": (transformers.GPT2Config, {"n_embd": 32, "n_layer": 2, "n_head": 4}),
    "capped logits (gemma2)": (transformers.Gemma2Config, {"head_dim": 8, "final_logit_softcapping": 3.0}),
    "divided logits (granite)": (transformers.GraniteConfig, {"logits_scaling": 4.0}),
    "multiplied logits (cohere)": (transformers.CohereConfig, {"logit_scale": 0.25}),
}

UNPACKABLE: dict[str, tuple[type[Any], dict[str, Any], str]] = {
    "short window (mistral)": (transformers.MistralConfig, {"sliding_window": 8}, "attention window of 8 tokens"),
    "short window (gemma2)": (transformers.Gemma2Config, {"head_dim": 8, "sliding_window": 8}, "attention window of 8"),
    "convolution (lfm2)": (
        transformers.Lfm2Config,
        {"layer_types": ["conv", "full_attention", "conv"]},
        "conv layers",
    ),
    "alibi (falcon)": (transformers.FalconConfig, {"alibi": True}, "ALiBi"),
    "alibi (bloom)": (transformers.BloomConfig, {"n_layer": 2, "n_head": 4}, "no positions"),
    "recurrent (mamba)": (transformers.MambaConfig, {}, "linear attention"),
}


@pytest.fixture
def llama(make_model: MakeModel) -> TransformersLM:
    return TransformersLM.load(make_model(transformers.LlamaConfig), device="cpu", dtype="float32")


def prompt(lm: TransformersLM, offers: list[str] = OFFERS) -> tuple[list[int], list[list[int]]]:
    prefix = lm.tokenize(Segment("A customer took The Silver Harbour, Rain Songs", trusted=True))
    return prefix, [lm.tokenize(Segment(f"Offer: {offer} Answer:", trusted=True)) for offer in offers]


@pytest.mark.parametrize("kind", PACKABLE)
def test_packed_scores_are_those_of_separate_prompts(kind: str, make_model: MakeModel) -> None:
    config_class, settings = PACKABLE[kind]
    lm = TransformersLM.load(make_model(config_class, **settings), device="cpu", dtype="float32")
    packed, separate = lm.score(*prompt(lm)), lm.score_separately(*prompt(lm))
    assert (lm.method, lm.packing_note) == (
        ("dense", "its attention is not torch's own") if "gemma2" in kind else ("tree", "")
    )
    assert packed.dtype == np.float32
    assert np.abs(packed - separate).max() < 1e-4
    assert np.ptp(separate) > 0.1  # else agreement means little


@pytest.mark.parametrize("kind", PACKABLE)
def test_scores_are_the_differences_of_the_models_own_logits(kind: str, make_model: MakeModel) -> None:
    config_class, settings = PACKABLE[kind]
    lm = TransformersLM.load(make_model(config_class, **settings), device="cpu", dtype="float32")
    prefix, suffixes = prompt(lm)
    (yes,), (no,) = (lm.tokenize(Segment(label, trusted=True)) for label in (" Yes", " No"))
    with torch.inference_mode():
        logits = [lm.model(torch.tensor([prefix + suffix])).logits[0, -1] for suffix in suffixes]
    expected = [float(row[yes] - row[no]) for row in logits]
    assert lm.score(prefix, suffixes) == pytest.approx(expected, abs=1e-4)


@pytest.mark.parametrize("kind", UNPACKABLE)
@pytest.mark.parametrize("declared", [True, False])
def test_a_model_that_cannot_be_packed_is_scored_separately(
    kind: str, declared: bool, make_model: MakeModel, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    config_class, settings, reason = UNPACKABLE[kind]
    if not declared:  # then the trial itself has to find it
        monkeypatch.setattr(probing, "_declared_obstacle", lambda *_: "")
        reason = "differ by|does not take a packed prompt"
    source = make_model(config_class, **settings)
    with caplog.at_level(logging.WARNING, "llmrec"):
        lm = TransformersLM.load(source, device="cpu", dtype="float32")
    assert not lm.packs
    assert np.array_equal(lm.score(*prompt(lm)), lm.score_separately(*prompt(lm)))
    assert any(piece in lm.packing_note for piece in reason.split("|"))
    assert lm.packing_note in caplog.text


@pytest.mark.parametrize("dropped", ["attention_mask", "position_ids"])
@pytest.mark.parametrize("attention", ["eager", "sdpa"])
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_a_model_that_ignores_its_mask_or_positions_is_found_out(
    dropped: str, attention: str, dtype: Any, make_model: MakeModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    forward = transformers.LlamaModel.forward

    def careless(self: Any, *, attention_mask: Any = None, position_ids: Any = None, **others: Any) -> Any:
        given = {"attention_mask": attention_mask, "position_ids": position_ids}
        return forward(self, **(given | {dropped: None}), **others)

    monkeypatch.setattr(transformers.LlamaModel, "forward", careless)
    monkeypatch.setattr(transformers.LlamaForCausalLM, "_supports_sdpa", attention == "sdpa")
    lm = TransformersLM.load(make_model(transformers.LlamaConfig), device="cpu", dtype=dtype)
    needs_no_mask = (attention, dropped) == ("sdpa", "attention_mask")
    assert lm.method == ("tree" if needs_no_mask else "separate")


def test_prompts_longer_than_the_attention_window_are_scored_separately(make_model: MakeModel) -> None:
    source = make_model(transformers.MistralConfig, sliding_window=90)
    lm = TransformersLM.load(source, device="cpu", dtype="float32")
    prefix, suffixes = prompt(lm)
    assert lm.packs
    assert np.abs(lm.score(prefix, suffixes) - lm.score_separately(prefix, suffixes)).max() < 1e-4
    long = prefix * 9
    assert np.array_equal(lm.score(long, suffixes), lm.score_separately(long, suffixes))


@pytest.mark.parametrize("batch_tokens", [64, 80, 4096])
def test_the_order_of_the_suffixes_changes_no_bit(batch_tokens: int, make_model: MakeModel) -> None:
    source = make_model(transformers.LlamaConfig)
    lm = TransformersLM.load(source, device="cpu", dtype="bfloat16", batch_tokens=batch_tokens)
    prefix, suffixes = prompt(lm)
    order = [4, 2, 0, 5, 3, 1]
    shuffled = [suffixes[place] for place in order]
    for score in (lm.score, lm.score_separately):
        assert np.array_equal(score(prefix, shuffled), score(prefix, suffixes)[order])


def test_equal_suffixes_get_equal_scores(llama: TransformersLM) -> None:
    scores = llama.score(*prompt(llama))
    assert scores[0] == scores[5]


@pytest.mark.parametrize("batch_tokens", [1, 64, 90])
def test_passes_of_any_size_give_the_same_scores(batch_tokens: int, make_model: MakeModel) -> None:
    source = make_model(transformers.LlamaConfig)
    whole = TransformersLM.load(source, device="cpu", dtype="float32")
    parts = TransformersLM.load(source, device="cpu", dtype="float32", batch_tokens=batch_tokens)
    for name in ("score", "score_separately"):
        expected = getattr(whole, name)(*prompt(whole))
        assert getattr(parts, name)(*prompt(parts)) == pytest.approx(expected, abs=1e-4)


KINDS = {
    "llama": (transformers.LlamaConfig, {}),
    "qwen3": (transformers.Qwen3Config, {"head_dim": 8}),
    "read under a mask": (transformers.Gemma2Config, {"head_dim": 8}),
}


def words(lm: TransformersLM, text: str) -> tuple[int, ...]:
    return tuple(lm.tokenize(Segment(text, trusted=True)))


def deep_tree(lm: TransformersLM) -> PromptTree:
    """A prefix, branches that leave it at different places, and candidates."""
    asked = tuple(PromptTree(words(lm, f"Offer: {offer} Answer:")) for offer in OFFERS[:3])
    branch = PromptTree(words(lm, ", Rain Songs"), (PromptTree(words(lm, ", Tea"), asked), *asked[:2]))
    return PromptTree(words(lm, "A customer took The Silver Harbour"), (branch, *asked))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("batch_tokens", [8, 64, 4096])
def test_trees_of_any_depth_equal_separate_prompts(kind: str, batch_tokens: int, make_model: MakeModel) -> None:
    config_class, settings = KINDS[kind]
    source = make_model(config_class, **settings)
    lm = TransformersLM.load(source, device="cpu", dtype="float32", batch_tokens=batch_tokens, states_bytes=1 << 20)
    tree = deep_tree(lm)
    separate = lm.score_separately([], list(tree.prompts()))
    for _ in range(2):  # from nothing, and from what was read before
        assert np.abs(lm.score_trees([tree]) - separate).max() < 1e-4
    assert np.ptp(separate) > 0.1


def test_who_else_is_in_the_pass_does_not_matter(make_model: MakeModel) -> None:
    lm = TransformersLM.load(make_model(transformers.LlamaConfig), device="cpu", dtype="float32")
    users = [flat(words(lm, f"A customer took {name}"), prompt(lm)[1]) for name in OFFERS[1:5]]
    together = lm.score_trees(users).reshape(len(users), -1)
    for user, scores in zip(users, together, strict=True):
        assert np.abs(lm.score_trees([user]) - scores).max() < 1e-4
    shuffled = lm.score_trees([users[place] for place in (2, 0, 3, 1)]).reshape(len(users), -1)
    assert np.array_equal(shuffled, together[[2, 0, 3, 1]])


@pytest.fixture
def remembering(make_model: MakeModel) -> TransformersLM:
    source = make_model(transformers.LlamaConfig)
    return TransformersLM.load(source, device="cpu", dtype="float32", states_bytes=1 << 24)


@pytest.fixture
def read_tokens(remembering: TransformersLM) -> list[int]:
    """How many tokens each forward pass read."""
    read: list[int] = []
    remembering.model.model.embed_tokens.register_forward_hook(lambda *given: read.append(given[1][0].numel()))
    return read


def test_the_same_user_pays_for_the_candidates_only(remembering: TransformersLM, read_tokens: list[int]) -> None:
    prefix, suffixes = prompt(remembering)
    distinct = sum(map(len, {tuple(suffix) for suffix in suffixes}))
    cold = remembering.score(prefix, suffixes)
    assert read_tokens == [len(prefix), distinct]
    read_tokens.clear()
    warm = remembering.score(prefix, suffixes[::-1])
    assert read_tokens == [distinct]
    assert np.array_equal(warm[::-1], cold)


def test_a_new_event_pays_for_what_follows_it_only(remembering: TransformersLM, read_tokens: list[int]) -> None:
    prefix, suffixes = prompt(remembering)
    prefix *= 3
    remembering.score(prefix, suffixes[:1])
    read_tokens.clear()
    more = [*prefix, *words(remembering, ", Tea")]
    scores = remembering.score(more, suffixes)
    assert read_tokens[0] == len(more) - len(prefix)
    assert np.abs(scores - remembering.score_separately(more, suffixes)).max() < 1e-4


def test_prompts_that_leave_one_prefix_at_different_places_read_it_once(
    llama: TransformersLM,
) -> None:
    prefix, suffixes = prompt(llama)
    read: list[int] = []
    llama.model.model.embed_tokens.register_forward_hook(lambda *given: read.append(given[1][0].numel()))
    branches = [flat(prefix[:cut], suffixes[:2]) for cut in (4, len(prefix), 6, 4)]
    scores = llama.score_trees(branches)
    assert read[0] == len(prefix)
    assert len(read) == 2
    expected = [llama.score_separately(prefix[:cut], suffixes[:2]) for cut in (4, len(prefix), 6, 4)]
    assert np.abs(scores - np.concatenate(expected)).max() < 1e-4


def test_without_memory_nothing_is_remembered(llama: TransformersLM) -> None:
    llama.score(*prompt(llama))
    assert len(llama._states) == 0


def test_many_threads_share_what_was_read(remembering: TransformersLM) -> None:
    prefix, suffixes = prompt(remembering)
    histories = [[*prefix, *words(remembering, f", {offer}")] for offer in OFFERS]
    expected = [remembering.score_separately(history, suffixes) for history in histories]
    with ThreadPoolExecutor(4) as threads:
        found = list(threads.map(lambda place: remembering.score(histories[place % 6], suffixes), range(48)))
    for place, scores in enumerate(found):
        assert np.abs(scores - expected[place % 6]).max() < 1e-4


def test_a_call_that_takes_too_long_is_given_up_and_the_next_one_works(make_model: MakeModel) -> None:
    lm = TransformersLM.load(make_model(transformers.LlamaConfig), device="cpu", dtype="float32", time_limit=30)
    lm._turns._limit = 0.0
    with pytest.raises(ScoringError, match="reading the prompt took longer than the 0 seconds") as caught:
        lm.score(*prompt(lm))
    assert "ranking.time_limit" in caught.value.hint
    lm._turns._limit = 30
    assert np.isfinite(lm.score(*prompt(lm))).all()


def test_who_waits_too_long_for_a_turn_gets_none(make_model: MakeModel) -> None:
    lm = TransformersLM.load(make_model(transformers.LlamaConfig), device="cpu", dtype="float32", time_limit=0.05)
    with lm._turns.next(), ThreadPoolExecutor(1) as thread:
        waiting = thread.submit(lm.score, *prompt(lm))
        with pytest.raises(ScoringError, match="waiting for its turn took longer"):
            waiting.result()


@pytest.mark.parametrize("kind", ["llama", "qwen3"])
def test_gradients_through_packed_prompts_are_those_of_separate_ones(kind: str, make_model: MakeModel) -> None:
    config_class, settings = KINDS[kind]
    lm = TransformersLM.load(make_model(config_class, **settings), device="cpu", dtype="float32")
    tree = deep_tree(lm)

    def gradients(scores: torch.Tensor) -> list[torch.Tensor]:
        target = torch.linspace(-1, 1, len(scores))
        (scores * target).sum().backward()
        found = [weight.grad.clone() for weight in lm.model.parameters() if weight.grad is not None]
        lm.model.zero_grad()
        return found

    packed = gradients(lm._reader.read_dense([tree]))
    separate = gradients(lm._reader.read_each([tree]))
    assert len(packed) == len(separate) > 10
    for one, other in zip(packed, separate, strict=True):
        assert float((one - other).norm()) <= 1e-4 * float(other.norm())


def test_many_users_are_read_in_groups_that_fit_into_memory(make_model: MakeModel) -> None:
    source = make_model(transformers.LlamaConfig)
    whole, parts = (
        TransformersLM.load(source, device="cpu", dtype="float32", batch_tokens=size) for size in (4096, 16)
    )
    users = [flat(words(whole, f"A customer took {name}"), prompt(whole)[1]) for name in OFFERS[1:5]]
    assert np.abs(whole.score_trees(users) - parts.score_trees(users)).max() < 1e-4
    assert whole.score_trees([]).shape == (0,)


def test_a_trial_that_runs_out_of_memory_is_an_error_with_a_next_step(
    make_model: MakeModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_memory(*_: object, **__: object) -> None:
        raise torch.OutOfMemoryError("no memory left")

    source = make_model(transformers.LlamaConfig)
    monkeypatch.setattr(transformers.LlamaModel, "forward", no_memory)
    with pytest.raises(ModelError, match="out of memory") as caught:
        TransformersLM.load(source, device="cpu", dtype="float32")
    assert caught.value.hint


def test_what_is_remembered_is_let_go_where_memory_is_short(
    remembering: TransformersLM, monkeypatch: pytest.MonkeyPatch
) -> None:
    remembering.score(*prompt(remembering))
    assert len(remembering._states) == 1

    def no_memory(*_: object, **__: object) -> None:
        raise torch.OutOfMemoryError("no memory left")

    monkeypatch.setattr(transformers.LlamaModel, "forward", no_memory)
    with pytest.raises(ScoringError, match="out of memory"):
        remembering.score(*prompt(remembering))
    assert len(remembering._states) == 0


@pytest.mark.skipif(shutil.which("g++") is None, reason="inductor needs a C++ compiler")
@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # inductor's own
def test_compiled_it_gives_the_same_scores(make_model: MakeModel) -> None:
    source = make_model(transformers.LlamaConfig)
    lm, compiled = (TransformersLM.load(source, device="cpu", dtype="float32", compile=way) for way in (False, True))
    for offers in (OFFERS, OFFERS[:2]):
        assert np.abs(compiled.score(*prompt(lm, offers)) - lm.score(*prompt(lm, offers))).max() < 1e-4
    assert all(block.mlp._compiled_call_impl for block in compiled.model.model.layers)


def test_what_cannot_be_compiled_is_an_error_with_a_next_step(
    make_model: MakeModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_compiler(*_: object, **__: object) -> None:
        raise ZeroDivisionError("no compiler")

    source = make_model(transformers.LlamaConfig)
    monkeypatch.setattr(lm_module, "compile_blocks", lambda model: setattr(model.base_model, "forward", no_compiler))
    with pytest.raises(ModelError, match="cannot be compiled: no compiler") as caught:
        TransformersLM.load(source, device="cpu", compile=True)
    assert "models.compile" in caught.value.hint


def test_what_the_others_say_does_not_matter(llama: TransformersLM) -> None:
    prefix, suffixes = prompt(llama)
    alone = llama.score(prefix, suffixes[2:3])[0]
    amid = llama.score(prefix, suffixes)[2]
    assert amid == pytest.approx(alone, abs=1e-4)


def test_no_suffixes_give_no_scores(llama: TransformersLM) -> None:
    scores = llama.score(prompt(llama)[0], [])
    assert scores.shape == (0,)
    assert scores.dtype == np.float32


def test_an_empty_prefix_is_allowed(llama: TransformersLM) -> None:
    _, suffixes = prompt(llama)
    assert llama.score([], suffixes) == pytest.approx(llama.score_separately([], suffixes), abs=1e-4)


def test_a_start_token_is_put_before_the_prefix(make_model: MakeModel) -> None:
    source = make_model(transformers.LlamaConfig, words=train_tokenizer(start=True))
    lm = TransformersLM.load(source, device="cpu", dtype="float32")
    prefix, suffixes = prompt(lm)
    start = lm.model.config.bos_token_id
    assert start not in prefix
    with torch.inference_mode():
        logits = lm.model(torch.tensor([[start, *prefix, *suffixes[0]]])).logits[0, -1]
    (yes,), (no,) = (lm.tokenize(Segment(label, trusted=True)) for label in (" Yes", " No"))
    assert lm.score(prefix, suffixes)[0] == pytest.approx(float(logits[yes] - logits[no]), abs=1e-4)


def test_labels_of_several_tokens_are_told_apart_where_they_part(make_model: MakeModel) -> None:
    source = make_model(transformers.LlamaConfig)
    lm = TransformersLM.load(source, device="cpu", dtype="float32", labels=(" Yes, map", " Yes, Tea"))
    one, other = (words(lm, label) for label in (" Yes, map", " Yes, Tea"))
    lead = next(place for place, (a, b) in enumerate(zip(one, other, strict=False)) if a != b)
    prefix, suffixes = prompt(lm)
    with torch.inference_mode():
        logits = [lm.model(torch.tensor([[*prefix, *ids, *one[:lead]]])).logits[0, -1] for ids in suffixes]
    expected = [float(row[one[lead]] - row[other[lead]]) for row in logits]
    assert lead > 0
    assert lm.score(prefix, suffixes) == pytest.approx(expected, abs=1e-4)
    with pytest.raises(ModelError, match="does not tell") as caught:
        TransformersLM.load(source, device="cpu", labels=(" Yes", " Yes, map"))
    assert "labels" in caught.value.hint


def test_in_a_chat_the_prompt_is_what_the_user_says(make_model: MakeModel) -> None:
    chatty = train_tokenizer()
    chatty.chat_template = "{% for m in messages %}<|start|>{{ m.content }}<|end|>{% endfor %}A:"
    source = make_model(transformers.LlamaConfig, words=chatty)
    lm = TransformersLM.load(source, device="cpu", dtype="float32", chat=True, labels=(" Yes", " No"))
    prefix, suffixes = prompt(lm)
    (yes,), (no,) = words(lm, " Yes"), words(lm, " No")
    (start,), (end,) = words(lm, "<|start|>"), words(lm, "<|end|>")
    with torch.inference_mode():
        logits = [
            lm.model(torch.tensor([[start, *prefix, *ids, end, *words(lm, "A:")]])).logits[0, -1] for ids in suffixes
        ]
    assert lm.score(prefix, suffixes) == pytest.approx([float(row[yes] - row[no]) for row in logits], abs=1e-4)


def test_scores_that_are_not_numbers_are_an_error(llama: TransformersLM) -> None:
    llama.model.model.norm.weight.data[:] = float("nan")
    with pytest.raises(ScoringError, match="not numbers"):
        llama.score(*prompt(llama))


def test_a_model_without_numbers_does_not_load(make_model: MakeModel) -> None:
    source = make_model(transformers.LlamaConfig)
    model = transformers.AutoModelForCausalLM.from_pretrained(source.path)
    model.model.norm.weight.data[:] = float("inf")
    model.save_pretrained(source.path)
    with pytest.raises(ModelError, match="not read right"):
        TransformersLM.load(source, device="cpu", dtype="float32")


def test_a_head_of_an_unknown_kind_is_refused(make_model: MakeModel, monkeypatch: pytest.MonkeyPatch) -> None:
    forward = transformers.LlamaForCausalLM.forward

    def bent(self: Any, *args: Any, **others: Any) -> Any:
        output = forward(self, *args, **others)
        output.logits = output.logits**3
        return output

    monkeypatch.setattr(transformers.LlamaForCausalLM, "forward", bent)
    with pytest.raises(ModelError, match="not read right"):
        TransformersLM.load(make_model(transformers.LlamaConfig), device="cpu", dtype="float32")


def test_prompts_that_are_too_long_are_an_error(make_model: MakeModel) -> None:
    lm = TransformersLM.load(make_model(transformers.LlamaConfig, max_position_embeddings=128), device="cpu")
    prefix, suffixes = prompt(lm)
    with pytest.raises(ScoringError, match="longer than the 128") as caught:
        lm.score(prefix * 20, suffixes)
    assert "history_tokens" in caught.value.hint


def test_a_suffix_without_tokens_is_an_error(llama: TransformersLM) -> None:
    with pytest.raises(ScoringError, match="no tokens"):
        llama.score([5, 6], [[7], []])


@pytest.mark.parametrize(
    "fault",
    [
        torch.OutOfMemoryError("CUDA out of memory"),
        RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes"),
        MemoryError(),
    ],
)
def test_running_out_of_memory_is_a_scoring_error(
    fault: Exception, llama: TransformersLM, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise fault

    monkeypatch.setattr(llama.model.model, "forward", fail)
    with pytest.raises(ScoringError, match="out of memory") as caught:
        llama.score(*prompt(llama))
    assert "batch_tokens" in caught.value.hint


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        (RuntimeError("CUDA error: device-side assert triggered\nCompile with TORCH_USE_CUDA_DSA"), "assert triggered"),
        (IndexError("index out of range in self"), "index out of range"),
        (RuntimeError(), "RuntimeError"),
    ],
)
def test_any_other_fault_of_the_forward_pass_is_a_scoring_error_with_its_reason(
    fault: Exception, reason: str, llama: TransformersLM, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise fault

    monkeypatch.setattr(llama.model.model, "forward", fail)
    with pytest.raises(ScoringError, match=reason) as caught:
        llama.score(*prompt(llama))
    assert "out of memory" not in str(caught.value)
    assert "TORCH_USE_CUDA_DSA" not in str(caught.value)
    assert "models.device" in caught.value.hint
    assert caught.value.__cause__ is fault
    monkeypatch.undo()
    assert np.isfinite(llama.score(*prompt(llama))).all()


def test_a_token_beyond_the_vocabulary_is_a_scoring_error(llama: TransformersLM) -> None:
    prefix, suffixes = prompt(llama)
    with pytest.raises(ScoringError, match="out of range"):
        llama.score([*prefix, 10**6], suffixes)


def test_the_trial_leaves_the_weights_as_they_were(make_model: MakeModel) -> None:
    source = make_model(transformers.LlamaConfig)
    lm = TransformersLM.load(source, device="cpu", dtype="bfloat16")
    fresh = transformers.AutoModelForCausalLM.from_pretrained(source.path, dtype=torch.bfloat16)
    theirs = dict(fresh.named_parameters())
    for name, weight in lm.model.named_parameters():
        assert weight.dtype == torch.bfloat16
        assert torch.equal(weight, theirs[name])


def test_threads_take_turns_and_get_their_own_scores(llama: TransformersLM) -> None:
    prefix, suffixes = prompt(llama)
    expected = [llama.score(prefix, suffixes[:count]) for count in range(1, 7)]
    with ThreadPoolExecutor(6) as pool:
        scores = list(pool.map(lambda count: llama.score(prefix, suffixes[:count]), [1, 2, 3, 4, 5, 6] * 3))
    for place, score in enumerate(scores):
        assert score == pytest.approx(expected[place % 6], abs=1e-4)


def test_missing_weights_are_refused(make_model: MakeModel) -> None:
    source = make_model(transformers.LlamaConfig)
    model = transformers.AutoModelForCausalLM.from_pretrained(source.path)
    kept = copy.deepcopy(model.state_dict())
    del kept["model.layers.1.mlp.up_proj.weight"]
    model.save_pretrained(source.path, state_dict=kept)
    with pytest.raises(ModelError, match="lacks weights"):
        TransformersLM.load(source, device="cpu")


def test_the_default_model_packs_in_float32(smollm_float32: TransformersLM, smollm: ModelSource) -> None:
    lm = smollm_float32
    packed, separate = lm.score(*prompt(lm)), lm.score_separately(*prompt(lm))
    assert lm.packs
    assert (lm.name, lm.sha256) == ("smollm2-135m-instruct", smollm.sha256)
    assert np.abs(packed - separate).max() < 1e-4


def test_the_default_model_packs_in_bfloat16(smollm: ModelSource, smollm_float32: TransformersLM) -> None:
    lm = TransformersLM.load(smollm, device="cpu", dtype="bfloat16")
    packed, separate = lm.score(*prompt(lm)), lm.score_separately(*prompt(lm))
    exact = smollm_float32.score(*prompt(smollm_float32))
    assert lm.packs
    assert np.abs(packed - separate).max() < 0.25
    assert np.abs(packed - exact).max() < 0.25


def test_a_damaged_weights_file_is_refused(make_model: MakeModel) -> None:
    source = make_model(transformers.LlamaConfig)
    weights = source.path / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-100])
    with pytest.raises(ModelError, match="cannot be loaded"):
        TransformersLM.load(source, device="cpu")


def test_a_directory_without_a_tokenizer_is_refused(make_model: MakeModel) -> None:
    source = make_model(transformers.LlamaConfig)
    for path in source.path.glob("tokenizer*"):
        path.unlink()
    with pytest.raises(ModelError, match="tokenizer"):
        TransformersLM.load(source, device="cpu")
