"""Adapters and what was read with them, while many threads ask and adapters come and go."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import torch
import transformers

from llmrec.errors import ScoringError
from llmrec.models import ModelSource, TransformersLM
from llmrec.models.states import PrefixStates, Read

from .conftest import MakeModel
from .test_adapters import save_adapter
from .test_lm import prompt

pytestmark = pytest.mark.filterwarnings("ignore:.is_gradient_checkpointing. is deprecated:FutureWarning")

ONE_PREFIX = 20_000
"""Bytes: room for one prompt's prefix, not for two."""


@pytest.fixture
def source(make_model: MakeModel) -> ModelSource:
    return make_model(transformers.LlamaConfig)


@pytest.fixture
def lm(source: ModelSource) -> TransformersLM:
    return TransformersLM.load(source, device="cpu", dtype="float32", states_bytes=ONE_PREFIX)


@pytest.fixture
def adapters(source: ModelSource, tmp_path: Path) -> list[Path]:
    return [save_adapter(source, tmp_path / str(seed), seed) for seed in range(3)]


def gap(one: np.ndarray, other: np.ndarray) -> float:
    return float(np.abs(one - other).max())


def test_who_asks_while_an_adapter_is_swapped_gets_the_old_or_the_new_and_never_a_mixture(
    lm: TransformersLM, adapters: list[Path]
) -> None:
    prefix, suffixes = prompt(lm)
    base = lm.score(prefix, suffixes)
    expected = [lm.adapted("live", path).score(prefix, suffixes) for path in adapters]
    lm.add_adapter("steady", adapters[0])
    done = threading.Event()

    def asks(adapter: str | None, allowed: list[np.ndarray]) -> int:
        asked = 0
        while not done.is_set() or asked < 3:
            scores = lm.score(prefix, suffixes, adapter=adapter)
            assert min(gap(scores, one) for one in allowed) < 1e-4
            asked += 1
        return asked

    with ThreadPoolExecutor(4) as threads:
        kinds: list[tuple[str | None, list[np.ndarray]]] = [
            (None, [base]),
            ("steady", expected[:1]),
            ("live", expected),
            ("live", expected),
        ]
        asking = [threads.submit(asks, *kind) for kind in kinds]
        for turn in range(9):
            lm.add_adapter("live", adapters[turn % 3])
        done.set()
        assert min(one.result() for one in asking) >= 3
    assert gap(lm.score(prefix, suffixes, adapter="live"), expected[2]) < 1e-4
    assert min(gap(expected[0], expected[1]), gap(expected[1], expected[2]), gap(base, expected[0])) > 0.05
    assert lm._states.bytes <= ONE_PREFIX


def test_who_asks_for_an_adapter_that_was_let_go_is_told_and_nobody_else_notices(
    lm: TransformersLM, adapters: list[Path]
) -> None:
    prefix, suffixes = prompt(lm)
    steady = lm.adapted("steady", adapters[0]).score(prefix, suffixes)
    going = lm.adapted("going", adapters[1]).score(prefix, suffixes)
    told: list[str] = []

    def asks(place: int) -> None:
        if place % 2:
            assert gap(lm.score(prefix, suffixes, adapter="steady"), steady) < 1e-4
            return
        try:
            assert gap(lm.score(prefix, suffixes, adapter="going"), going) < 1e-4
        except ScoringError as error:
            told.append(str(error))

    with ThreadPoolExecutor(4) as threads:
        asking = [threads.submit(asks, place) for place in range(24)]
        lm.remove_adapter("going")
        for one in asking:
            one.result()
        threads.submit(asks, 0).result()
    assert told
    assert set(told) == {"there is no adapter 'going'"}


def test_a_new_adapter_lets_go_of_all_that_was_read_before(source: ModelSource, adapters: list[Path]) -> None:
    lm = TransformersLM.load(source, device="cpu", dtype="float32", states_bytes=1 << 24)
    prefix, suffixes = prompt(lm)
    lm.adapted("old", adapters[0]).score(prefix, suffixes)
    lm.score(prefix, suffixes)
    assert len(lm._states) == 2
    lm.add_adapter("new", adapters[1])
    assert (len(lm._states), lm._states.bytes) == (0, 0)


def test_a_tiny_memory_keeps_its_bound_and_gives_only_what_was_asked_for() -> None:
    def read(user: int, tokens: int) -> Read:
        ids = tuple(range(1000 * user, 1000 * user + tokens))
        own = torch.tensor(ids, dtype=torch.float32).view(1, 1, tokens, 1)
        return Read(ids, [(own, own + 1)])

    states = PrefixStates(3 * read(0, 40).bytes)

    def works(thread: int) -> None:
        generator = np.random.default_rng(thread)
        for _ in range(300):
            one = read(int(generator.integers(6)), int(generator.integers(20, 40)))
            weights = ("a", "b")[int(generator.integers(2))]
            found = states.longest(weights, one.ids)
            if found is not None:
                assert one.ids[: len(found.ids)] == found.ids
                assert found.layers[0][0].flatten().tolist() == list(map(float, found.ids))
            states.keep(weights, one)
            _sometimes(generator, lambda weights=weights: states.forget(weights))  # type: ignore[misc]

    with ThreadPoolExecutor(6) as threads:
        for one in [threads.submit(works, place) for place in range(6)]:
            one.result()
    assert states.bytes == sum(one.bytes for one in states._kept.values())
    assert states.bytes <= 3 * read(0, 40).bytes


def _sometimes(generator: np.random.Generator, do: Callable[[], None]) -> None:
    if generator.random() < 0.02:
        do()
