"""A disk that is really full: what is acknowledged is stored, what is not is said, and a training leaves feedback room.

The disk is a tmpfs of a few megabytes; where none may be mounted (only root may) these tests are skipped.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from llmrec import Event, Recommender
from llmrec.errors import StoreError
from llmrec.learning import retrain, training
from llmrec.testing import WordEncoder
from tests.learning.test_retraining import fill, settings
from tests.tiny import made_base


def blow_up(disk: Path, left: int) -> Path:
    """A file that takes up everything but so many bytes."""
    free = os.statvfs(disk)
    balloon = disk / "balloon"
    balloon.write_bytes(bytes(free.f_bavail * free.f_frsize - left))
    return balloon


def feed(rec: Recommender, kept: list[str | None], batches: int) -> None:
    """Feedback, batch after batch; what is acknowledged is noted."""
    for number in range(batches):
        several = [Event("u1", f"s{place}", "click", event_id=f"{number}-{place}") for place in range(10)]
        kept += [one.event_id for one in rec.feedback_many(several)]


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    place = tmp_path / "disk"
    place.mkdir()
    done = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=16m", "none", str(place)], check=False, capture_output=True
    )
    if done.returncode:
        pytest.skip("no tmpfs may be mounted here")
    yield place
    subprocess.run(["umount", "--lazy", str(place)], check=True)


def test_what_does_not_fit_is_refused_and_what_was_acknowledged_is_there(disk: Path) -> None:
    kept: list[str | None] = []
    with Recommender.create(disk / "shop", encoder=WordEncoder()) as rec:
        fill(rec)
        balloon = blow_up(disk, left=1_000_000)
        with pytest.raises(StoreError, match="no space left on the disk") as refused:
            feed(rec, kept, batches=2_000)
        assert "nothing of this call was kept" in refused.value.hint
        balloon.unlink()
        rec.feedback(Event("u1", "s1", "click", event_id="after"))
    with Recommender.open(disk / "shop", encoder=WordEncoder()) as rec:
        stored = {event.event_id for event in rec.store.events("u1") if event.kind == "click"}
    assert kept
    assert stored == {*kept, "after"}


def test_a_training_whose_checkpoint_does_not_fit_says_so_and_feedback_goes_on(
    disk: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wanted = settings(made_base(tmp_path / "base"))
    wanted["learning"] |= {"rank": 32, "epochs": 1}
    kept: list[str | None] = []
    step = training._Run._step

    def fuller(run: training._Run) -> None:
        step(run)
        if run.state.step == 1:
            blow_up(disk, left=200_000)
            kept.append(rec.feedback(Event("u1", "s1", "click", event_id="amid")).event_id)

    with Recommender.create(disk / "courses", wanted, encoder=WordEncoder()) as rec:
        fill(rec)
        champion = rec.fit().version
        with monkeypatch.context() as patch:
            patch.setattr(training._Run, "_step", fuller)
            with pytest.raises(StoreError, match="No space left") as failed:
                retrain(rec, progress=False)
        assert "free some space" in failed.value.hint
        kept.append(rec.feedback(Event("u1", "s2", "click", event_id="after")).event_id)
        assert rec.recommend("u1", filter_seen=False).release == champion
        assert not list(rec.workspace.root.rglob("*.tmp"))
        (disk / "balloon").unlink()
        assert retrain(rec, progress=False) is not None
    with Recommender.open(disk / "courses", encoder=WordEncoder()) as rec:
        assert set(kept) == {"amid", "after"} <= {event.event_id for event in rec.store.events("u1")}
