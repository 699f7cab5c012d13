"""What `llmrec recommend` takes beside the user and a number."""

import json
from pathlib import Path
from typing import Any

import pytest

import llmrec
from llmrec.service import cli
from llmrec.testing import OverlapLanguageModel, WordEncoder
from tests.conftest import open_shop


@pytest.fixture
def shop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    with open_shop(tmp_path / "shop") as rec:
        rec.fit()
    real = llmrec.Recommender.open.__func__  # type: ignore[attr-defined]

    def with_fakes(cls: type, path: Path) -> llmrec.Recommender:
        return real(cls, path, encoder=WordEncoder(), language_model=OverlapLanguageModel())  # type: ignore[no-any-return]

    monkeypatch.setattr(llmrec.Recommender, "open", classmethod(with_fakes))
    return str(tmp_path / "shop")


def answer(capsys: pytest.CaptureFixture[str], *arguments: str) -> Any:
    assert cli.main(["recommend", *arguments, "--json"]) == 0
    return json.loads(capsys.readouterr().out)


def test_diversity_changes_the_order(shop: str, capsys: pytest.CaptureFixture[str]) -> None:
    plain = [one["item_id"] for one in answer(capsys, "ann", "-w", shop)["items"]]
    mixed = [one["item_id"] for one in answer(capsys, "ann", "--diversity", "0.9", "-w", shop)["items"]]
    assert sorted(mixed) == sorted(plain)
    assert mixed != plain
    assert cli.main(["recommend", "ann", "--diversity", "2", "-w", shop]) == 2
    assert "from 0 to 1" in capsys.readouterr().err


def test_the_answer_says_the_way_and_what_weighed_most(shop: str, capsys: pytest.CaptureFixture[str]) -> None:
    trace = answer(capsys, "ann", "-w", shop)["trace"]
    assert (trace["path"], trace["attention"][0]["item_id"]) == ("history", "hose")
    assert answer(capsys, "nobody", "--context", "wish=garden hose", "-w", shop)["trace"]["path"] == "words"
