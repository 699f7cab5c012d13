"""An adapter learns what its lists show, survives an interruption, and is the same after it was saved and loaded."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from llmrec.errors import ConfigError, MissingExtraError, ModelError
from llmrec.learning import training as module
from llmrec.learning.examples import Example
from llmrec.learning.lessons import Lessons
from llmrec.learning.training import (
    AdapterOptions,
    AdapterTraining,
    list_divergences,
    list_losses,
    train_adapter,
)
from llmrec.models import PromptTree, TransformersLM, resolve
from llmrec.models.loading import DtypeName
from llmrec.models.lora import LoraLearner, LoraShape
from tests.tiny import launched, made_base

SHAPE = LoraShape(rank=4, alpha=8.0)
OPTIONS = AdapterOptions(epochs=6, learning_rate=2e-2, trees=4, validations=2, patience=9, weight=1.0)
GOOD, BAD = 50, (60, 90)
ON_A_GPU = (pytest.mark.gpu, pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device"))


def example(generator: np.random.Generator) -> Example:
    """Two lists on one stem; what was taken begins with token 50, the others do not."""

    def question() -> PromptTree:
        firsts = [GOOD, *generator.integers(*BAD, size=4).tolist()]
        return PromptTree((7, 8), tuple(PromptTree((first, *ids(2))) for first in firsts))

    def ids(count: int) -> tuple[int, ...]:
        return tuple(generator.integers(100, 200, count).tolist())

    return Example(PromptTree(ids(6), (question(), PromptTree(ids(3), (question(),)))), np.zeros(10), (5, 5))


def lessons(count: int = 24, identity: str = "these") -> Lessons:
    generator = np.random.default_rng(0)
    made = [example(generator) for _ in range(count)]
    return Lessons(lambda epoch: made, [example(generator) for _ in range(4)], identity)


def trained(lm: TransformersLM, **given: object) -> tuple[LoraLearner, AdapterTraining]:
    learner = lm.learner(SHAPE)
    options = given.pop("options", OPTIONS)
    return learner, train_adapter(learner, given.pop("lessons", lessons()), options, **given)  # type: ignore[arg-type]


def said(learner: LoraLearner, examples: Sequence[Example]) -> np.ndarray:
    with torch.no_grad():
        return torch.cat([learner([one.tree]) for one in examples]).float().cpu().numpy()


def test_it_learns_what_was_taken_and_says_how_it_went(tiny: TransformersLM) -> None:
    learner, state = trained(tiny)
    assert max(state.gains) > 1.0  # of log 5 = 1.61
    assert len(state.gains) == len(state.losses) == 13  # the first before it has learnt
    assert state.losses[-1] < state.losses[1]
    assert (state.step, state.lists) == (36, 288)
    assert state.tokens == 6 * sum(one.tree.tokens for one in lessons().epoch(0))
    assert state.best_step > 0
    found = state.summary()
    assert "best" not in found
    assert json.dumps(found)
    learner.close()


def test_a_list_is_packed_as_if_its_prompts_stood_alone_gradients_too(tiny: TransformersLM) -> None:
    one = lessons(1).epoch(0)[0]
    learner = tiny.learner(SHAPE)
    torch.manual_seed(0)
    with torch.no_grad():
        for weight in learner.adapter.values():
            weight.normal_(std=0.05)
    gradients = []
    for read in (learner, learner.forward_separately):
        learner.zero_grad(set_to_none=True)
        losses = list_losses(read([one.tree]), one)
        losses.sum().backward()  # type: ignore[no-untyped-call]
        gradients.append((losses.detach(), [weight.grad.clone() for weight in learner.adapter.values()]))  # type: ignore[union-attr]
    np.testing.assert_allclose(gradients[0][0], gradients[1][0], atol=1e-4)
    for packed, alone in zip(gradients[0][1], gradients[1][1], strict=True):
        assert torch.linalg.norm(packed - alone) <= 1e-4 * torch.linalg.norm(alone) + 1e-7
    learner.close()


def test_offsets_are_part_of_the_softmax() -> None:
    one = Example(PromptTree((1,)), np.array([0.0, 1.0, 2.0, 5.0, 5.0]), (3, 2))
    odds = torch.tensor([1.0, 0.0, -1.0, 0.0, 0.0])
    expected = [np.log(3), np.log(2)]
    assert list_losses(odds, one).tolist() == pytest.approx(expected, abs=1e-6)
    twice = Example(one.tree, 2 * one.offsets, one.lengths)
    assert list_losses(4 * odds, twice, 0.5).tolist() == pytest.approx([np.log(3), np.log(2)], abs=1e-6)


def test_saved_and_loaded_it_gives_the_same_scores_and_the_base_is_untouched(
    tiny: TransformersLM, tmp_path: Path
) -> None:
    trees = [one.tree for one in lessons().validation]
    before = tiny.score_trees(trees)
    learner, _ = trained(tiny)
    learner.save(tmp_path)
    spoken = said(learner, lessons().validation)
    learner.close()
    np.testing.assert_array_equal(tiny.score_trees(trees), before)
    adapted = tiny.adapted("challenger", tmp_path)
    np.testing.assert_allclose(adapted.score_trees(trees), spoken, atol=1e-4)
    assert np.abs(spoken - before).max() > 0.5
    assert {path.name for path in tmp_path.iterdir()} == {"adapter_config.json", "adapter_model.safetensors"}
    about = json.loads((tmp_path / "adapter_config.json").read_text())
    assert about["base_model_name_or_path"] == tiny.name
    in_bfloat16 = next(weight for name, weight in tiny.model.named_parameters() if "lora_B" in name)
    assert torch.equal(in_bfloat16, in_bfloat16.bfloat16().float())


def test_an_interrupted_training_ends_as_one_that_was_not(
    tiny: TransformersLM, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    learner, whole = trained(tiny)
    expected = said(learner, lessons().validation)
    learner.close()
    real, calls = module._Run._step, []

    def dies(run: module._Run) -> None:
        calls.append(1)
        if len(calls) == 8:
            raise KeyboardInterrupt
        real(run)

    learner = tiny.learner(SHAPE)
    monkeypatch.setattr(module._Run, "_step", dies)
    checkpoint = tmp_path / "training" / "adapter.safetensors"
    with pytest.raises(KeyboardInterrupt):
        train_adapter(learner, lessons(), OPTIONS, checkpoint=checkpoint)
    learner.close()
    learner, state = trained(tiny, checkpoint=checkpoint)
    assert len(calls) == 8 + 36 - 6  # two of its steps came after the last checkpoint
    assert state.gains == pytest.approx(whole.gains, abs=1e-5)
    np.testing.assert_allclose(said(learner, lessons().validation), expected, atol=1e-4)
    learner.close()


@pytest.mark.parametrize("damage", ["other data", "no file of tensors"])
def test_a_checkpoint_of_another_training_is_not_taken_up(
    tiny: TransformersLM, tmp_path: Path, caplog: pytest.LogCaptureFixture, damage: str
) -> None:
    checkpoint = tmp_path / "adapter.safetensors"
    short = AdapterOptions(epochs=1, learning_rate=2e-2, trees=4, validations=1)
    trained(tiny, checkpoint=checkpoint, options=short)[0].close()
    if damage == "other data":
        given = lessons(identity="others")
    else:
        given = lessons()
        checkpoint.write_bytes(b"broken")
    learner, state = trained(tiny, checkpoint=checkpoint, options=short, lessons=given)
    learner.close()
    assert state.step == 6
    assert "begins anew" in caplog.text


def test_it_stops_when_it_gets_no_better_and_keeps_its_best(
    tiny: TransformersLM, monkeypatch: pytest.MonkeyPatch
) -> None:
    gains = iter([0.0, -0.3, -0.1, 0.1, 0.0, -0.1, -0.2])
    spoken: list[np.ndarray] = []

    def falling(run: module._Run) -> float:
        spoken.append(said(run.learner, lessons().validation))
        return next(gains)

    monkeypatch.setattr(module._Run, "_gain", falling)
    options = AdapterOptions(epochs=5, learning_rate=5e-3, trees=4, validations=2, patience=2)
    learner, state = trained(tiny, options=options)
    assert state.gains == [0.0, -0.3, -0.1]  # two in a row were no better than nothing
    assert state.best_step == 0
    assert said(learner, lessons().validation) == pytest.approx(spoken[0], abs=1e-5)
    learner.close()
    gains = iter([0.0, -0.3, 0.2, 0.1, 0.0, -0.1])
    spoken.clear()
    learner, state = trained(tiny, options=options)
    assert state.gains == [0.0, -0.3, 0.2, 0.1, 0.0]
    assert state.best_step == 6
    assert said(learner, lessons().validation) == pytest.approx(spoken[2], abs=1e-5)
    assert np.abs(spoken[2] - spoken[-1]).max() > 1e-3
    learner.close()


def test_one_step_is_a_training_too(tiny: TransformersLM) -> None:
    learner, state = trained(tiny, lessons=lessons(2), options=replace(OPTIONS, epochs=1))
    assert (state.step, len(state.gains)) == (1, 2)
    assert any(bool(weight.any()) for name, weight in learner.adapter.items() if "lora_B" in name)
    learner.close()


def test_it_warms_up_and_then_slows_down_to_nothing(tiny: TransformersLM, monkeypatch: pytest.MonkeyPatch) -> None:
    rates: list[float] = []
    real = module._Run._step

    def watched(run: module._Run) -> None:
        rates.append(run._learning_rate())
        real(run)

    monkeypatch.setattr(module._Run, "_step", watched)
    learner, _ = trained(tiny, options=replace(OPTIONS, warm_up=0.25, learning_rate=1e-3))
    assert len(rates) == 36
    assert rates[8] == max(rates) == pytest.approx(1e-3)
    assert rates[0] == pytest.approx(1e-3 / 9)
    assert rates[:9] == sorted(rates[:9])
    assert rates[8:] == sorted(rates[8:], reverse=True)
    assert 0 < rates[-1] < 1e-4
    learner.close()


def test_a_training_that_runs_away_says_what_to_lower(tiny: TransformersLM) -> None:
    learner = tiny.learner(SHAPE)
    next(iter(learner.adapter.values())).data.fill_(float("nan"))
    with pytest.raises(ConfigError, match="not a number") as caught:
        train_adapter(learner, lessons(), OPTIONS)
    assert "learning_rate" in caught.value.hint
    with pytest.raises(ModelError, match="not a number"):
        learner.save(Path("nowhere"))
    learner.close()


def test_nothing_to_learn_from_is_said(tiny: TransformersLM) -> None:
    learner = tiny.learner(SHAPE)
    with pytest.raises(ConfigError, match="no list to learn from"):
        train_adapter(learner, Lessons(lambda epoch: [], [], "none"), OPTIONS)
    learner.close()


def test_the_last_layers_alone_can_be_adapted(tiny: TransformersLM) -> None:
    learner = tiny.learner(LoraShape(rank=2, alpha=4.0, last_layers=1))
    assert {name.split(".layers.")[1][0] for name in learner.adapter} == {"2"}
    learner.close()


def test_in_bfloat16_the_adapter_learns_in_float32(tiny_base: Path) -> None:
    half = TransformersLM.load(resolve(str(tiny_base), "language-model"), device="cpu", dtype="bfloat16")
    learner, state = trained(half)
    assert all(weight.dtype == torch.float32 for weight in learner.adapter.values())
    assert max(state.gains) > 0.8
    learner.close()


def test_a_pull_keeps_it_near_what_it_said_at_first(tiny: TransformersLM) -> None:
    moved = {}
    for pull in (0.0, 3.0):
        learner, state = trained(tiny, options=replace(OPTIONS, pull=pull))
        one = lessons().validation[0]
        with torch.no_grad(), learner.without_adapter():
            before = learner([one.tree])
        now = torch.as_tensor(said(learner, [one]))
        moved[pull] = float(list_divergences(before, now, one).sum())
        assert state.step > 24  # it may stop early
        learner.close()
    assert 0 < moved[3.0] < 0.5 * moved[0.0]


def test_divergence_is_that_of_the_lists_with_their_offsets() -> None:
    one = Example(
        PromptTree((1,), tuple(PromptTree((2, place)) for place in range(4))), np.array([0, 1.0, 0, 0]), (2, 2)
    )
    before, now = torch.tensor([0.0, 0.0, 1.0, 1.0]), torch.tensor([1.0, 0.0, 2.0, 2.0])
    first, second = list_divergences(before, now, one).tolist()
    share = torch.softmax(torch.tensor([0.0, 1.0]), 0)
    assert first == pytest.approx(float((share * (share.log() - torch.tensor([0.5, 0.5]).log())).sum()))
    assert second == pytest.approx(0.0, abs=1e-6)


def test_it_goes_on_from_an_adapter_and_keeps_it_where_nothing_is_better(tiny: TransformersLM, tmp_path: Path) -> None:
    learner, first = trained(tiny)
    learner.save(tmp_path)
    spoken = said(learner, lessons().validation)
    learner.close()
    second = tiny.learner(SHAPE)
    second.begin_with(tmp_path)
    assert said(second, lessons().validation) == pytest.approx(spoken, abs=2e-3)
    useless = replace(OPTIONS, epochs=1, learning_rate=0.9)
    state = train_adapter(second, lessons(), useless)
    assert state.gains[0] == pytest.approx(max(first.gains), abs=1e-2)
    assert state.best_step == 0
    assert said(second, lessons().validation) == pytest.approx(spoken, abs=2e-3)
    second.close()
    for shape in (replace(SHAPE, rank=2), replace(SHAPE, alpha=16.0)):
        other = tiny.learner(shape)
        with pytest.raises(ModelError, match="another shape"):
            other.begin_with(tmp_path)
        other.close()


def test_two_processes_learn_what_one_learns(tiny: TransformersLM, tiny_base: Path, tmp_path: Path) -> None:
    learner, alone = trained(tiny)
    learner.close()
    script = Path(__file__).with_name("two_processes.py")
    codes = launched([str(script), str(tiny_base), str(tmp_path)], tmp_path)
    assert codes == [0, 0], [(tmp_path / f"{rank}.err").read_text()[-4000:] for rank in range(2)]
    first, second = (json.loads((tmp_path / f"{rank}.json").read_text()) for rank in range(2))
    assert first == second
    # Sums in another order are a beginning that Adam widens.
    assert first["gains"][:4] == pytest.approx(alone.gains[:4], abs=2e-2)
    assert max(first["gains"]) > 1.0


@pytest.mark.parametrize(
    ("device", "dtype", "four_bit"),
    [
        ("cpu", "float32", True),
        *(pytest.param("cuda", dtype, False, marks=ON_A_GPU) for dtype in ("float32", "bfloat16")),
        pytest.param("cuda", "bfloat16", True, marks=ON_A_GPU),
    ],
)
def test_what_is_learnt_over_coarser_weights_or_on_a_gpu_holds_over_the_base(
    tmp_path: Path, device: str, dtype: DtypeName, four_bit: bool
) -> None:
    if four_bit:
        pytest.importorskip("bitsandbytes")
    source = resolve(str(made_base(tmp_path / "base", width=128)), "language-model")
    small = TransformersLM.load(source, device=device, dtype=dtype, training=True, four_bit=four_bit)
    kinds = [layer.weight.quant_type for layer in small.model.modules() if type(layer).__name__ == "Linear4bit"]
    assert kinds == ["nf4"] * (3 * 7 if four_bit else 0)
    learner, state = trained(small)
    assert max(state.gains) > 0.8
    learner.save(tmp_path)
    spoken = said(learner, lessons().validation)
    learner.close()
    # The adapter fits the whole base, whose weights are nearly the same.
    base = TransformersLM.load(source, device="cpu", dtype="float32")
    whole = base.adapted("learnt", tmp_path).score_trees([one.tree for one in lessons().validation])
    assert np.corrcoef(spoken, whole)[0, 1] > 0.9


def test_four_bits_without_the_library_name_the_extra(tiny_base: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("llmrec.models.loading.find_spec", lambda _: None)
    with pytest.raises(MissingExtraError, match="bitsandbytes"):
        TransformersLM.load(resolve(str(tiny_base), "language-model"), device="cpu", four_bit=True)


def test_tensorboard_is_told_the_course_of_a_training(tiny: TransformersLM, tmp_path: Path) -> None:
    pytest.importorskip("tensorboard")
    trained(tiny, board=tmp_path / "board")[0].close()
    assert list((tmp_path / "board").rglob("events.out.tfevents.*"))


def test_without_tensorboard_the_setting_names_what_is_missing(
    tiny: TransformersLM, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "find_spec", lambda _: None)
    learner = tiny.learner(SHAPE)
    with pytest.raises(MissingExtraError, match="tensorboard"):
        train_adapter(learner, lessons(), OPTIONS, board=tmp_path)
    learner.close()


def test_an_epoch_may_have_more_or_fewer_trees_than_the_first(tiny: TransformersLM) -> None:
    made = lessons(13).epoch(0)
    sizes = {0: 9, 1: 8, 2: 13}
    given = Lessons(lambda epoch: made[: sizes[epoch]], lessons().validation, "uneven")
    learner, state = trained(tiny, lessons=given, options=AdapterOptions(epochs=3, trees=4, validations=1))
    learner.close()
    assert state.step == 3 * 3
    assert state.lists == 2 * (9 + 12 + 12)


def test_what_is_read_without_gradients_is_read_in_parts_and_the_same(
    tiny: TransformersLM, monkeypatch: pytest.MonkeyPatch
) -> None:
    generator = np.random.default_rng(1)
    learner, one = tiny.learner(SHAPE), example(generator)
    with torch.no_grad():
        for weight in learner.adapter.values():
            weight.normal_(std=0.5)
    with_gradients = learner([one.tree]).detach().numpy()
    monkeypatch.setattr(learner.reader, "read_dense", None)
    without = said(learner, [one])
    assert without.tolist() == pytest.approx(with_gradients.tolist(), abs=1e-4)
    with torch.no_grad():
        for name, weight in learner.adapter.items():
            weight.mul_(-1 if "lora_B" in name else 1)
    assert np.abs(said(learner, [one]) - without).max() > 1e-3  # nothing was kept of the weights before
    learner.close()
