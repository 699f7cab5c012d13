"""The script that compares ways to ask: each way says what it claims to, and all stand in the usual report."""

from __future__ import annotations

import json
import re
import sys
from dataclasses import replace
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from llmrec.evaluation import EvaluationData
from llmrec.models import TransformersLM, resolve
from llmrec.ranking import PromptLibrary, Ranker
from llmrec.records import Candidate, Event, History, Item, User
from llmrec.service.full_stage import FullStage
from tests.service.test_full_stage import USERS, data, stage
from tests.tiny import tiny_base

__all__ = ["data", "stage", "tiny_base"]

SCRIPTS = Path(__file__).parents[2] / "scripts"
ITEMS = {name: Item(name, title) for name, title in zip("abcd", ["Rake", "Red lamp", "Blue pan", "Hose"], strict=True)}
HISTORY = History(User("u"), (Event("u", "a", "view"),), frozenset("a"), 1)
CANDIDATES = [Candidate(ITEMS[name], 0.0) for name in "bcd"]


@pytest.fixture
def script(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(SCRIPTS)
    import evaluate_asking

    return evaluate_asking


@pytest.fixture
def asker(script: ModuleType, tiny_base: Path):  # type: ignore[no-untyped-def]
    model = TransformersLM.load(resolve(str(tiny_base), "language-model"), device="cpu", dtype="float32")
    return script.Asker(Ranker(model, PromptLibrary(), history_tokens=150), model, ITEMS)


def test_each_way_is_the_one_that_a_ranker_has(asker) -> None:  # type: ignore[no-untyped-def]
    for name, ask in (("pointwise", "choice"), ("title", "title")):
        ranker = Ranker(asker.model, PromptLibrary(), history_tokens=150, ask=ask)  # type: ignore[arg-type]
        expected, _ = ranker.score(ranker.shared(HISTORY, ITEMS), CANDIDATES)
        np.testing.assert_allclose(asker.ways[name](HISTORY, CANDIDATES), expected, atol=1e-5)


def test_letters_are_asked_in_both_orders(asker) -> None:  # type: ignore[no-untyped-def]
    once = asker._letters(HISTORY, CANDIDATES)
    assert not np.allclose(once, asker._letters(HISTORY, CANDIDATES[::-1])[::-1], atol=1e-4)
    np.testing.assert_allclose(
        asker.letters(HISTORY, CANDIDATES), asker.letters(HISTORY, CANDIDATES[::-1])[::-1], atol=1e-5
    )
    assert np.exp(once).sum() < 1  # letters are not all that could follow


def test_all_ways_stand_in_the_usual_report(script: ModuleType, data: EvaluationData, stage: FullStage) -> None:
    form = script.report_of(data, replace(stage, users=40), 5).to_dict()
    ways = ["pointwise", "title", "letters"]
    assert set(form["systems"]) == {"control", *ways, *(f"{name}+control" for name in ways)}
    assert {"pointwise+control-control", "pointwise-title"} <= set(form["paired"])
    assert form["users"] == 40 < USERS
    assert len({found["recall@5"]["value"] for found in form["systems"].values()}) == 1  # the same five, reordered
    assert len({found["mrr@5"]["value"] for name, found in form["systems"].items() if name in ways}) > 1
    told = [note for note in form["notes"] if note.startswith("time of a list")]
    assert len(told) == 1
    assert re.search(
        r"over that of pointwise: title \d+\.\d\d times, letters \d+\.\d\d times \(medians of \d+", told[0]
    )
    json.dumps(form)


@pytest.mark.parametrize(
    ("arguments", "named"),
    [(["--candidates", "27"], "from 2 to 26"), (["somewhere"], "needs --release")],
)
def test_what_cannot_be_asked_is_refused(
    script: ModuleType,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    named: str,
) -> None:
    monkeypatch.setattr(sys, "argv", ["evaluate_asking.py", *arguments])
    with pytest.raises(SystemExit):
        script.main()
    assert named in capsys.readouterr().err


def test_a_release_that_is_not_there_is_an_error_to_mend(
    script: ModuleType, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("LLMREC_CACHE", str(tmp_path / "cache"))
    (tmp_path / "sequences.tsv").write_text("user_id\titem_ids\nu\ta b c\n")
    (tmp_path / "items.tsv").write_text("item_id\ttitle\na\tA\nb\tB\nc\tC\n")
    monkeypatch.setattr(sys, "argv", ["evaluate_asking.py", str(tmp_path), "--release", str(tmp_path / "gone")])
    assert script.main() == 2
    assert "gone" in capsys.readouterr().err
