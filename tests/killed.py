"""What is killed in the test of kills: processes that take feedback, learn, register, promote and roll back as told."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from itertools import count
from multiprocessing.connection import Connection
from pathlib import Path

import torch

from llmrec import Event, Recommender, parts
from llmrec.errors import BusyError, ReleaseError
from llmrec.learning import retrain as retrained
from llmrec.learning import training
from llmrec.service.cli import main
from llmrec.testing import WordEncoder

Tell = Callable[[object], None]


def ingest(rec: Recommender, name: str, tell: Tell) -> None:
    for number in range(5):
        batch = [Event(name, "s1", "click", event_id=f"{name}-{number}-{place}") for place in range(50)]
        tell([rec.feedback(batch[0]).event_id])
        tell([one.event_id for one in rec.feedback_many(batch[1:])])


def fit(rec: Recommender, name: str, tell: Tell) -> None:
    rec.fit(progress=False)


def retrain(rec: Recommender, name: str, tell: Tell) -> None:
    retrained(rec, progress=False)


def register(rec: Recommender, name: str, tell: Tell) -> None:
    rec.install(rec.releases.list()[0].directory)


def promote(rec: Recommender, name: str, tell: Tell) -> None:
    rec.releases.promote(rec.releases.list()[0].version)


def rollback(rec: Recommender, name: str, tell: Tell) -> None:
    rec.releases.rollback()


DEEDS = {deed.__name__: deed for deed in (ingest, fit, retrain, register, promote, rollback)}


def live(workspace: str, name: str, deeds: Sequence[str], said: Connection) -> None:
    """Take an event and do a deed, again and again; events are told once they are durable, deeds when they begin."""
    torch.set_num_threads(1)
    with Recommender.open(Path(workspace), encoder=WordEncoder()) as rec:
        for number in count():
            deed = deeds[number % len(deeds)]
            said.send([rec.feedback(Event(name, "s2", "click", event_id=f"{name}-{number}")).event_id])
            said.send(deed)
            with suppress(BusyError, ReleaseError):  # nothing to roll back to, or the lock of one killed a moment ago
                DEEDS[deed](rec, f"{name}-{number}", said.send)


def retrain_and_hold(workspace: str, said: Connection) -> None:
    """Retrain up to the first checkpoint of the adapter, say so, and hold there."""
    torch.set_num_threads(1)
    save = training._Run._save

    def held(run: training._Run) -> None:
        save(run)
        said.send(run.state.step)
        time.sleep(600)

    training._Run._save = held  # type: ignore[method-assign]
    with Recommender.open(Path(workspace), encoder=WordEncoder()) as rec:
        retrained(rec, progress=False)


def command(arguments: list[str], said: Connection) -> None:
    """One command, whose exit status is told."""
    torch.set_num_threads(1)
    parts.TextEncoder.load = lambda *_, **__: WordEncoder()  # type: ignore[method-assign, assignment, return-value]
    said.send(main(arguments))
