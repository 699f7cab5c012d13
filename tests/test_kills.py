"""kill -9 at random moments of feedback, fit, retrain, register, promote and rollback: nothing acknowledged is lost.

KILLS=200 runs the long series; each deed is killed as often as the others.
"""

from __future__ import annotations

import multiprocessing
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from multiprocessing.connection import Connection
from pathlib import Path

import numpy as np
import pytest

from llmrec import Recommender
from llmrec.errors import BusyError
from llmrec.learning import retrain, training
from llmrec.testing import WordEncoder
from tests import killed
from tests.learning.test_retraining import fill, settings
from tests.tiny import made_base

DEEDS = list(killed.DEEDS)
KILLS = int(os.environ.get("KILLS", str(len(DEEDS))))
# Each process is forked from one that has imported everything, so a kill costs no new start.
PROCESSES = multiprocessing.get_context("forkserver")
PROCESSES.set_forkserver_preload(["tests.killed"])


@contextmanager
def running(what: Callable[..., None], *arguments: object) -> Iterator[Connection]:
    """A process, and what it says; it is killed at the end of the block."""
    heard, said = PROCESSES.Pipe(duplex=False)
    process = PROCESSES.Process(target=what, args=(*arguments, said))
    process.start()
    said.close()
    try:
        yield heard
    finally:
        process.kill()
        process.join()


def rest(heard: Connection) -> Iterator[object]:
    """Everything that was said; a word that the kill cut off was not."""
    with suppress(EOFError, OSError):
        while True:
            yield heard.recv()


@pytest.fixture
def courses(tmp_path: Path) -> Path:
    wanted = settings(made_base(tmp_path / "base"))
    wanted["learning"]["epochs"] = wanted["encoder"]["epochs"] = 1
    with Recommender.create(tmp_path / "courses", wanted, encoder=WordEncoder()) as rec:
        fill(rec)
        rec.fit()
    return tmp_path / "courses"


def durations(workspace: Path) -> dict[str, float]:
    """How long each deed takes here, seconds."""
    begun: dict[str, float] = {}
    taken: dict[str, float] = {}
    with running(killed.live, str(workspace), "whole", DEEDS) as heard:
        while len(taken) < len(DEEDS):
            deed, now = heard.recv(), time.monotonic()
            if isinstance(deed, str):
                taken |= {before: now - begun[before] for before in begun if before not in taken}
                begun[deed] = now
    return taken


@pytest.mark.timeout(600 + 60 * KILLS)
def test_nothing_acknowledged_is_lost_and_the_champion_always_answers(courses: Path) -> None:
    taken, acknowledged = durations(courses), set[str]()
    moments = np.random.default_rng(5).uniform(0.0, 1.0, KILLS).tolist()
    for number, moment in enumerate(moments):
        deed = DEEDS[number % len(DEEDS)]
        with running(killed.live, str(courses), f"run{number}", [deed, "promote"]) as heard:
            acknowledged |= set(heard.recv())
            assert heard.recv() == deed
            time.sleep(moment * taken[deed])
        acknowledged |= {event_id for word in rest(heard) if isinstance(word, list) for event_id in word}
        with Recommender.open(courses, encoder=WordEncoder()) as rec:
            stored = [event.event_id for event in rec.store.events_by_user() if str(event.event_id).startswith("run")]
            assert len(stored) == len(set(stored))
            assert acknowledged <= set(stored)
            live = rec.releases.champion()
            assert live is not None
            assert rec.recommend("u1", filter_seen=False).release == live.version
            for release in rec.releases.list():
                assert all(release.read(name) for name in release.manifest["files"])
            assert rec.workspace.running() is None
    assert len(acknowledged) > KILLS
    with Recommender.open(courses, encoder=WordEncoder()) as rec:
        assert retrain(rec, progress=False) is not None
        assert not list(rec.workspace.training.iterdir())


@pytest.mark.timeout(600)
def test_who_comes_second_is_told_and_a_killed_retraining_is_gone_on_with(
    courses: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with running(killed.retrain_and_hold, str(courses)) as heard:
        reached = heard.recv()
        with Recommender.open(courses, encoder=WordEncoder()) as rec:
            before = rec.releases.champion()
            assert rec.workspace.running() == "retrain"
            with pytest.raises(BusyError):
                retrain(rec, progress=False)
    steps: list[int] = []
    step = training._Run._step

    def counted(run: training._Run) -> None:
        steps.append(run.state.step)
        step(run)

    monkeypatch.setattr(training._Run, "_step", counted)
    with Recommender.open(courses, encoder=WordEncoder()) as rec:
        assert rec.workspace.running() is None
        assert rec.releases.champion() == before
        assert retrain(rec, progress=False) is not None
    assert steps[0] == reached > 0


@pytest.mark.timeout(600)
def test_of_two_retrainings_at_once_one_wins_and_the_other_exits_75(courses: Path) -> None:
    arguments = ["retrain", "-w", str(courses), "--json"]
    with running(killed.command, arguments) as first, running(killed.command, arguments) as second:
        winner, loser = sorted([first.recv(), second.recv()])
    assert winner in {0, 3}
    assert loser == 75
    with Recommender.open(courses, encoder=WordEncoder()) as rec:
        assert len(rec.releases.list()) == 2
