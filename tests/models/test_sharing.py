"""One thread owns the model: what callers get, whoever else waits."""

import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from numpy.typing import NDArray

from llmrec.errors import ScoringError
from llmrec.models import ModelThread, PromptTree, SharedLM, TransformersLM, flat
from llmrec.testing import OverlapLanguageModel
from tests.tiny import tiny, tiny_base  # noqa: F401 - fixtures

PREFIXES = [list(range(10, 10 + length)) for length in (5, 9, 14, 30)]
SUFFIXES = [[40, 41], [42, 43, 44], [45]]


class Gate(OverlapLanguageModel):
    """Waits before the first pass until everybody is in line; counts the trees of each."""

    def __init__(self) -> None:
        super().__init__()
        self.free = threading.Event()
        self.trees: list[int] = []
        self.poison: int | None = None

    def score_trees(self, trees: Sequence[PromptTree]) -> NDArray[np.float32]:
        assert self.free.wait(10)
        self.trees.append(len(trees))
        if self.poison is not None and any(self.poison in ids for tree in trees for ids in tree.prompts()):
            raise ScoringError("a prompt cannot be read", hint="leave it out")
        return np.array([len(ids) for tree in trees for ids in tree.prompts()], np.float32)


@pytest.fixture
def gate() -> Gate:
    return Gate()


def started(gate: Gate, **options: float) -> Iterator[SharedLM]:
    thread = ModelThread(**options)  # type: ignore[arg-type]
    yield SharedLM(gate, thread)
    gate.free.set()
    thread.close()


@pytest.fixture
def shared(gate: Gate) -> Iterator[SharedLM]:
    yield from started(gate, at_once=8)


def asked_at_once(model: SharedLM, gate: Gate, prefixes: Sequence[Sequence[int]]) -> list[object]:
    """What callers get that all come while the model is busy with somebody before them."""
    with ThreadPoolExecutor(len(prefixes) + 1) as pool:
        first = pool.submit(model.score, [1], [[2]])
        while model.thread.waiting:
            time.sleep(0.001)
        rest = [pool.submit(model.score, prefix, SUFFIXES) for prefix in prefixes]
        while model.thread.waiting < len(prefixes):
            time.sleep(0.001)
        gate.free.set()
        first.result()
        return [one.exception() or one.result().tolist() for one in rest]


def test_who_waits_is_read_together_and_gets_their_own(shared: SharedLM, gate: Gate) -> None:
    got = asked_at_once(shared, gate, PREFIXES)
    assert got == [[len(prefix) + len(suffix) for suffix in SUFFIXES] for prefix in PREFIXES]
    assert gate.trees == [1, 4]
    assert (shared.thread.passes, shared.thread.calls) == (2, 5)


def test_one_at_a_time_where_that_is_wanted(gate: Gate) -> None:
    for model in started(gate, at_once=1):
        asked_at_once(model, gate, PREFIXES)
        assert gate.trees == [1, 1, 1, 1, 1]


def test_a_prompt_that_fails_spoils_no_other_answer(shared: SharedLM, gate: Gate) -> None:
    gate.poison = 999
    got = asked_at_once(shared, gate, [PREFIXES[0], [999], PREFIXES[1]])
    assert isinstance(got[1], ScoringError)
    assert got[0] == [7, 8, 6]
    assert got[2] == [11, 12, 10]


def test_other_work_has_its_turn_and_stands_between(shared: SharedLM, gate: Gate) -> None:
    order: list[str] = []
    with ThreadPoolExecutor(4) as pool:
        first = pool.submit(shared.score, [1], [[2]])
        while shared.thread.waiting:
            time.sleep(0.001)
        before = pool.submit(shared.score, [1], [[3]])
        while shared.thread.waiting < 1:
            time.sleep(0.001)
        loading = pool.submit(shared.thread.do, lambda: order.append("loaded"))
        while shared.thread.waiting < 2:
            time.sleep(0.001)
        behind = pool.submit(shared.score, [1], [[4]])
        while shared.thread.waiting < 3:
            time.sleep(0.001)
        gate.free.set()
        for one in (first, before, loading, behind):
            one.result()
    assert order == ["loaded"]
    assert gate.trees == [1, 1, 1], "prompts before and behind it are not read together"


def test_who_waits_too_long_is_told_and_not_read(gate: Gate) -> None:
    for model in started(gate, at_once=1, time_limit=0.2):
        with ThreadPoolExecutor(2) as pool:
            both = [pool.submit(model.score, [1], [[2]]) for _ in range(2)]
            with pytest.raises(ScoringError, match=r"longer than 0.2 seconds"):
                both[1].result()
            with pytest.raises(ScoringError):
                both[0].result()
        gate.free.set()
        assert model.score([1], [[2]]).tolist() == [2.0]
        assert len(gate.trees) == 2, "nobody wanted the second one any more"


def test_after_its_end_nobody_waits(gate: Gate) -> None:
    gate.free.set()
    thread = ModelThread()
    thread.close()
    with pytest.raises(ScoringError, match="let go"):
        SharedLM(gate, thread).score([1], [[2]])


def test_a_real_model_gives_each_what_it_gives_alone(tiny: TransformersLM) -> None:  # noqa: F811
    thread = ModelThread(at_once=8)
    model = SharedLM(tiny, thread)
    entered, free = threading.Event(), threading.Event()

    def busy() -> None:
        entered.set()
        free.wait(10)

    with ThreadPoolExecutor(5) as pool:
        holding = pool.submit(thread.do, busy)
        assert entered.wait(10)
        rest = [pool.submit(model.score, prefix, SUFFIXES) for prefix in PREFIXES]
        while thread.waiting < 4:
            time.sleep(0.001)
        free.set()
        holding.result()
        together = [one.result() for one in rest]
    assert thread.passes == 1
    for prefix, got in zip(PREFIXES, together, strict=True):
        np.testing.assert_allclose(got, tiny.score_trees([flat(prefix, SUFFIXES)]), atol=1e-4)
    thread.close()
