"""The script that times a retraining: its events answer lists that were shown, and all steps are gone through."""

import json
import runpy
import sys
from pathlib import Path

import pytest

from llmrec import Recommender
from llmrec.testing import WordEncoder
from tests.learning.test_retraining import fill, settings

SCRIPT = Path(__file__).parents[2] / "scripts" / "bench_retraining.py"


def test_fresh_events_on_real_lists_are_learnt_from(
    tmp_path: Path, tiny_base: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wanted = settings(tiny_base)
    wanted["learning"] |= {"epochs": 1}
    with Recommender.create(tmp_path / "courses", wanted, encoder=WordEncoder()) as rec:
        fill(rec)
        rec.fit()
    monkeypatch.setattr("llmrec.parts.TextEncoder.load", lambda *_, **__: WordEncoder())
    out = tmp_path / "retraining.json"
    monkeypatch.setattr(sys, "argv", ["bench", "-w", str(tmp_path / "courses"), "--events", "18", "--json", str(out)])
    assert runpy.run_path(str(SCRIPT))["main"]() == 0
    told = json.loads(out.read_text())
    assert told["seconds"] > 0
    assert told["metrics"]["adapter"]["from_shown"] > 0
    with Recommender.open(tmp_path / "courses") as rec:
        fresh = list(rec.store.events_by_user(recommended=True))
        shown = {one.recommendation_id: {place.item_id for place in one.items} for one in rec.store.shown}
        assert rec.releases.list()[-1].version == told["release"]
    assert len(fresh) == 18
    assert all(event.item_id in shown[str(event.recommendation_id)] for event in fresh)
