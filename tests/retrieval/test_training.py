"""The encoder learns what follows what, from ids and from texts; a run that was cut off goes on as if it was not."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from llmrec.config import EncoderSettings
from llmrec.errors import ConfigError
from llmrec.retrieval import training
from llmrec.retrieval.encoder import EncoderConfig, EventBatch, SequenceEncoder
from llmrec.retrieval.fitted import FittedEncoder
from llmrec.retrieval.fitting import _start_weights
from llmrec.retrieval.sequences import EventArrays, EventVocabulary
from llmrec.retrieval.training import TrainingExamples, TrainingOptions, train

ITEMS = 12
CONFIG = EncoderConfig(dimension=16, layers=1, heads=2, max_events=8, dropout=0.0)
OPTIONS = TrainingOptions(epochs=60, patience=30, batch_size=4, learning_rate=3e-3, label_smoothing=0.0)


def arrays(rows: list[int]) -> EventArrays:
    known = np.array(rows)
    empty = np.full(len(rows), np.nan)
    return EventVocabulary(("view",)).encode(rows=known, kinds=["view"] * len(rows), values=empty, times=empty)


def newest_state(model: SequenceEncoder, rows: list[int]) -> np.ndarray:
    fitted = FittedEncoder(model, EventVocabulary(("view",)), ())
    return fitted.states([arrays(rows)], fitted.item_vectors(ring().texts))[0]


def ring(users: int = 48, length: int = 7, seed: int = 0) -> TrainingExamples:
    """After item i always comes item i + 1: whoever learnt that ranks it first."""
    starts = np.random.default_rng(seed).integers(ITEMS, size=users)
    sequences = [[int(start + step) % ITEMS for step in range(length)] for start in starts]
    texts = np.eye(ITEMS, 20, dtype=np.float32)
    return TrainingExamples(
        users=[arrays(rows) for rows in sequences],
        targets=np.array([(rows[-1] + 1) % ITEMS for rows in sequences]),
        texts=texts,
        kinds=1,
        fingerprint="ring",
    )


@pytest.mark.parametrize("network", ["attention", "gru"])
def test_it_learns_what_follows_what(network: str) -> None:
    model, state = train(ring(), replace(CONFIG, network=network), OPTIONS)  # type: ignore[arg-type]
    assert state.losses[-1] < state.losses[0] / 2
    assert state.best_ndcg > 0.9
    items = model.item_vectors(torch.from_numpy(ring().texts))
    scores = items.detach().numpy() @ newest_state(model, [3, 4, 5])
    scores[[3, 4, 5]] = -np.inf  # what was met is left out, in validation as in serving
    assert int(scores.argmax()) == 6


def test_the_sampled_softmax_learns_it_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(training, "FULL_SOFTMAX", 4)
    monkeypatch.setattr(training, "_SAMPLED", 6)
    _, state = train(ring(), CONFIG, OPTIONS)
    assert state.best_ndcg > 0.9


@pytest.mark.parametrize("network", ["attention", "gru"])
def test_in_bfloat16_it_learns_as_well_and_keeps_float32(network: str) -> None:
    config = replace(CONFIG, network=network)  # type: ignore[arg-type]
    model, state = train(ring(), config, replace(OPTIONS, bfloat16=True))
    assert state.best_ndcg > 0.9
    assert {weight.dtype for weight in model.state_dict().values()} == {torch.float32}
    short = replace(OPTIONS, epochs=1)
    coarse, exact = (train(ring(), config, replace(short, bfloat16=wanted))[1].losses[0] for wanted in (True, False))
    assert coarse == pytest.approx(exact, rel=0.01)
    assert coarse != exact


def test_bfloat16_is_for_gpus_by_default() -> None:
    chosen = {device: TrainingOptions.of(EncoderSettings(), seed=1, device=device) for device in ("cpu", "cuda:0")}
    assert {device: options.bfloat16 for device, options in chosen.items()} == {"cpu": False, "cuda:0": True}


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_on_a_gpu_it_learns_what_follows_what() -> None:
    _, state = train(ring(), CONFIG, replace(OPTIONS, device="cuda", bfloat16=True))
    assert state.best_ndcg > 0.9


def test_the_same_seed_gives_the_same_weights_and_another_does_not() -> None:
    short = replace(OPTIONS, epochs=2)
    (one, _), (same, _) = train(ring(), CONFIG, short), train(ring(), CONFIG, short)
    other, _ = train(ring(), CONFIG, replace(short, seed=8))
    for name, weight in one.state_dict().items():
        assert torch.equal(weight, same.state_dict()[name])
    assert not torch.equal(one.ids.weight, other.ids.weight)


def test_an_interrupted_training_goes_on_as_if_it_was_not(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole, _ = train(ring(), CONFIG, replace(OPTIONS, epochs=5))
    checkpoint = tmp_path / "encoder.safetensors"
    real = training._Run.epoch

    def cut_off(run: training._Run) -> None:
        if run.state.epoch == 3:
            raise KeyboardInterrupt
        real(run)

    monkeypatch.setattr(training._Run, "epoch", cut_off)
    with pytest.raises(KeyboardInterrupt):
        train(ring(), CONFIG, replace(OPTIONS, epochs=5), checkpoint=checkpoint)
    assert checkpoint.exists()
    epochs: list[int] = []

    def counted(run: training._Run) -> None:
        epochs.append(run.state.epoch + 1)
        real(run)

    monkeypatch.setattr(training._Run, "epoch", counted)
    resumed, _ = train(ring(), CONFIG, replace(OPTIONS, epochs=5), checkpoint=checkpoint)
    assert epochs == [4, 5]
    for name, weight in whole.state_dict().items():
        assert torch.equal(weight, resumed.state_dict()[name]), name


@pytest.mark.parametrize("other", ["data", "options", "garbage"])
def test_a_checkpoint_of_something_else_is_not_taken_up(tmp_path: Path, other: str) -> None:
    checkpoint = tmp_path / "encoder.safetensors"
    run = training._Run(ring(), CONFIG, OPTIONS)
    run.epoch()
    run.save(checkpoint)
    if other == "garbage":
        checkpoint.write_bytes(b"\x00" * 100)
    examples = replace(ring(), fingerprint="other") if other == "data" else ring()
    options = replace(OPTIONS, epochs=29) if other == "options" else OPTIONS
    fresh = training._Run(examples, CONFIG, options)
    fresh.resume(checkpoint)
    assert fresh.state.epoch == 0


def test_training_stops_when_it_no_longer_gets_better() -> None:
    _, state = train(ring(), CONFIG, replace(OPTIONS, epochs=200, patience=3))
    assert state.epoch == state.best_epoch + 3


def test_with_nobody_to_validate_on_the_newest_weights_are_kept() -> None:
    blind = replace(ring(), targets=np.full(48, -1))
    model, state = train(blind, CONFIG, replace(OPTIONS, epochs=6, patience=2))
    assert (state.epoch, state.best_epoch, state.best_ndcg) == (6, 6, -1.0)
    other, _ = train(blind, CONFIG, replace(OPTIONS, epochs=5, patience=2))
    assert not torch.equal(model.ids.weight, other.ids.weight)


def test_a_warm_start_begins_with_what_was_known_of_each_item_by_its_id() -> None:
    model, _ = train(ring(), CONFIG, replace(OPTIONS, epochs=1))
    item_ids = tuple(f"i{row}" for row in range(ITEMS))
    fitted = FittedEncoder(model, EventVocabulary(("view",)), item_ids)
    weights = _start_weights(fitted, ["i3", "new", "i0"], ["buy", "view"])
    assert torch.equal(weights["ids.weight"][[0, 2]], model.ids.weight[[3, 0]])
    assert not weights["ids.weight"][1].any()
    assert torch.equal(weights["kinds.weight"][[0, 2]], model.kinds.weight)
    assert not weights["kinds.weight"][1].any()

    run = training._Run(ring(), CONFIG, OPTIONS)
    run.warm_start(model.state_dict())
    for begun in (run.model, run.averaged):
        assert all(torch.equal(weight, model.state_dict()[name]) for name, weight in begun.state_dict().items())


def test_the_kept_weights_are_an_average_and_less_noisy_than_the_latest() -> None:
    latest, _ = train(ring(), CONFIG, replace(OPTIONS, epochs=3, averaged_epochs=0.0))
    averaged, _ = train(ring(), CONFIG, replace(OPTIONS, epochs=3, averaged_epochs=2.0))
    start, _ = train(ring(), CONFIG, replace(OPTIONS, epochs=0))
    moved = [float((model.ids.weight - start.ids.weight).detach().norm()) for model in (averaged, latest)]
    assert 0 < moved[0] < moved[1]


def test_a_held_out_event_is_not_learnt_from_and_the_same_users_are_asked_again() -> None:
    users = [arrays([place % ITEMS, (place + 1) % ITEMS, (place + 2) % ITEMS]) for place in range(40)]
    ids = [f"u{place}" for place in range(40)]

    def asked(order: list[int]) -> set[str]:
        picked, names = [users[place] for place in order], [ids[place] for place in order]
        held = TrainingExamples.holding_out(picked, names, ring().texts, kinds=1, fingerprint="")
        for user, target, before in zip(held.users, held.targets, picked, strict=True):
            assert len(user) == (3 if target < 0 else 2)
            assert target in (-1, before.rows[-1])
        return {name for name, target in zip(names, held.targets, strict=True) if target >= 0}

    first = asked(list(range(40)))
    assert 10 < len(first) < 30
    assert asked(list(range(39, -1, -1))) == first
    assert asked(list(range(20))) == {name for name in first if int(name[1:]) < 20}


def test_states_never_see_what_comes_later() -> None:
    model, _ = train(ring(), CONFIG, replace(OPTIONS, epochs=1))
    items = model.item_vectors(torch.from_numpy(ring().texts))
    with torch.inference_mode():
        whole = model(EventBatch.of([arrays([1, 2, 3, 4, 5])]), items)
        beginning = model(EventBatch.of([arrays([1, 2, 3])]), items)
    assert torch.allclose(whole[:, :3], beginning, atol=1e-5)


def test_a_users_vector_does_not_depend_on_company() -> None:
    model, _ = train(ring(), CONFIG, replace(OPTIONS, epochs=1))
    items = model.item_vectors(torch.from_numpy(ring().texts))
    with torch.inference_mode():
        together = model(EventBatch.of([arrays([1, 2]), arrays([5, 6, 7, 8])]), items)[0, 1].numpy()
    np.testing.assert_allclose(newest_state(model, [1, 2]), together, atol=1e-5)


@pytest.mark.parametrize("network", ["attention", "gru"])
def test_attention_weights_sum_to_one_over_what_is_read(network: str) -> None:
    model, _ = train(ring(), replace(CONFIG, network=network), replace(OPTIONS, epochs=1))  # type: ignore[arg-type]
    items = model.item_vectors(torch.from_numpy(ring().texts))
    _, weights = model.read(arrays([1, 2, 3, 4, 5]), items)
    assert weights.shape == (5,)
    assert weights.sum() == pytest.approx(1.0, abs=1e-5)


def test_nobody_to_learn_from_gives_an_untrained_encoder() -> None:
    lonely = replace(ring(), users=[arrays([1])], targets=np.array([-1]))
    _, state = train(lonely, CONFIG, OPTIONS)
    assert state.epoch == 0


def test_weights_beyond_all_numbers_are_refused_and_not_kept() -> None:
    with pytest.raises(ConfigError, match="not a number") as refused:
        train(ring(), CONFIG, replace(OPTIONS, epochs=3, learning_rate=1e38))
    assert "learning_rate" in refused.value.hint


def test_training_leaves_the_random_numbers_of_others_alone() -> None:
    torch.manual_seed(5)
    wanted = torch.rand(3)
    torch.manual_seed(5)
    train(ring(), CONFIG, replace(OPTIONS, epochs=1))
    assert torch.equal(torch.rand(3), wanted)
