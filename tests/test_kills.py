"""kill -9 at random moments of feedback, fit, register, promote and rollback: nothing acknowledged is lost.

KILLS=200 runs the long series.
"""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np

from llmrec import Recommender
from llmrec.testing import OverlapLanguageModel, WordEncoder
from tests.conftest import open_shop

KILLS = int(os.environ.get("KILLS", "4"))
ROOT = Path(__file__).parents[1]


def killed_after(workspace: Path, name: str, seconds: float) -> list[str]:
    """What a process had acknowledged when it was killed, so long after it had opened the workspace."""
    process = subprocess.Popen(
        [sys.executable, str(Path(__file__).with_name("killed.py")), str(workspace), name],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"},
    )
    assert process.stdout is not None
    with process:
        assert process.stdout.readline() == "open\n"
        time.sleep(seconds)
        process.send_signal(signal.SIGKILL)
        return process.stdout.read().splitlines()


def test_nothing_acknowledged_is_lost_and_the_champion_always_answers(tmp_path: Path) -> None:
    moments, acknowledged = np.random.default_rng(5).uniform(0.0, 0.5, KILLS), []
    with open_shop(tmp_path / "shop") as rec:
        rec.fit()
    for number, moment in enumerate(moments.tolist()):
        # The last line may be cut off by the kill; then its event was not acknowledged.
        told = killed_after(tmp_path / "shop", f"run{number}", moment)
        acknowledged += [one for one in told if one.rpartition("-")[2].isdecimal()]
        parts = {"encoder": WordEncoder(), "language_model": OverlapLanguageModel()}
        with Recommender.open(tmp_path / "shop", **parts) as rec:
            stored = [event.event_id for event in rec.store.events_by_user() if str(event.event_id).startswith("run")]
            assert len(stored) == len(set(stored))
            assert set(acknowledged) <= set(stored)
            assert rec.recommend("ann").items
            assert rec.releases.champion() is not None
            for release in rec.releases.list():
                assert all(release.read(name) for name in release.manifest["files"])
    assert len(acknowledged) > KILLS
    with Recommender.open(tmp_path / "shop", encoder=WordEncoder(), language_model=OverlapLanguageModel()) as rec:
        assert rec.fit().version == rec.recommend("ann").release
