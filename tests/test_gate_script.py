"""The evaluation of the gate plays its cases, on a log so small that nothing is learnt from its verdicts."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from llmrec import Event, Item, Recommender

SCRIPTS = Path(__file__).parents[1] / "scripts"
USERS, ITEMS = 60, 24
START = datetime(2024, 1, 1, tzinfo=UTC)


@pytest.fixture
def script(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.syspath_prepend(SCRIPTS)
    import evaluate_gate

    monkeypatch.setattr(evaluate_gate, "_ASKED", 10)
    monkeypatch.setattr(evaluate_gate, "_FAKES", 20)
    return evaluate_gate


@pytest.fixture
def world(script: Any) -> Any:
    """Everybody walks round the items from a place of their own; half of the users begin a good while later."""
    steps = [
        (step + 8 * (user % 2), Event(f"u{user:02}", f"i{(7 * user + step) % ITEMS:02}", "rating", float(1 + step % 5)))
        for user in range(USERS)
        for step in range(12)
    ]
    events = [
        Event(one.user_id, one.item_id, one.kind, one.value, timestamp=START + timedelta(hours=hour, minutes=place))
        for place, (hour, one) in enumerate(sorted(steps, key=lambda step: step[0]))
    ]
    return script.World.of(3, [Item(f"i{place:02}", f"Thing {place}") for place in range(ITEMS)], events, USERS)


def test_poison_changes_some_events_and_made_up_accounts_push_one_item(script: Any, world: Any) -> None:
    poisoned = world.poisoned()
    changed = [one for one, before in zip(poisoned, world.batch, strict=True) if one.item_id != before.item_id]
    assert 0 < len(changed) < len(world.batch) / 5
    pushed = world.with_fakes(3, 8)
    fakes = Counter(one.user_id for one in pushed if one.user_id.startswith("fake"))
    assert len(fakes) == 20
    assert set(fakes.values()) <= set(range(4, 10))
    assert {one.user_id for one in pushed if one.item_id == world.pushed} >= set(fakes)
    assert [one for one in pushed if not one.user_id.startswith("fake")] == list(world.batch)


def test_every_case_is_played_once_and_kept(script: Any, world: Any, tmp_path: Path) -> None:
    encoder, common = script.HashedWords(), tmp_path / "items"
    settings = {
        "ranking": {"enabled": False},
        "feedback": {"record": False},
        "encoder": {"dimension": 8, "layers": 1, "epochs": 1, "max_events": 12, "minimum_events": 10},
    }
    with Recommender.create(common, settings, encoder=encoder) as rec:
        rec.add_items(world.items)
        rec.catalogue()
    found = script.Runs(world, tmp_path / "runs", common, encoder).results(script.CASES)
    assert set(found) == set(script.CASES)
    assert all(0 <= one["share"] <= 1 and one["users"] > 0 for one in found.values())
    # The equal one's champion knows what it knows, so what both were asked about is of the same events.
    assert found["equal"]["comparison"] is not None
    kept = {path: path.stat().st_mtime_ns for path in (tmp_path / "runs").glob("*.json")}
    assert {path.stem for path in kept} == set(script.CASES)
    assert script.Runs(world, tmp_path / "runs", common, encoder).results(script.CASES) == found
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "runs").glob("*.json")} == kept
    assert not [path for path in (tmp_path / "runs").iterdir() if path.is_dir()]
    shares = script.shares([found])
    assert shares["pushed"] == found["pushed"]["share"]
    assert script.summary([found["better"]])["of"] == 1
