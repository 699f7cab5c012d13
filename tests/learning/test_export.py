"""The exported set: what a retraining learns from shown lists, without who it was."""

import hashlib
import json
from pathlib import Path

import pytest

from llmrec import Event, Recommender
from llmrec.learning import export_lists
from llmrec.service.cli import main
from tests.learning.test_transcripts import answer, shown


def test_each_item_of_a_list_is_a_row_that_says_whether_it_was_taken(shop: Recommender, tmp_path: Path) -> None:
    shop.feedback(Event("ann", kind="search", text="something for rainy days"))
    to = shown(shop)
    chosen = answer(shop, to, 2)
    made = export_lists(shop, tmp_path / "out" / "choices.jsonl")
    rows = [json.loads(line) for line in made.path.read_text().splitlines()]
    assert [row["label"] for row in rows] == [False, False, True, False]
    assert {tuple(row) for row in rows} == {("prompt", "completion", "label")}
    title = shop.store.item(chosen).title.casefold()
    assert all(word in rows[2]["prompt"] for word in title.split())
    assert rows[2]["prompt"].endswith("answer :")
    assert not any("ann" in row["prompt"].split() or "rainy" in row["prompt"] for row in rows)
    card = json.loads((tmp_path / "out" / "choices.jsonl.card.json").read_text())
    assert (card["lists"], card["rows"], card["labels"]) == (1, 4, {"false": 3, "true": 1})
    assert card["window"] == {"after_sequence": 0, "last_sequence": shop.store.last_sequence()}
    assert card["sha256"] == hashlib.sha256(made.path.read_bytes()).hexdigest()
    assert made.card == card


def test_the_command_goes_on_from_a_watermark(
    shop: Recommender, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    answer(shop, shown(shop), 1)
    since, out = str(shop.store.last_sequence()), str(tmp_path / "choices.jsonl")
    where = ["-w", str(shop.workspace.root), "--json"]
    with pytest.MonkeyPatch.context() as patch:
        # The workspace was made with stand-ins for both models.
        answering, catalogue = shop.answering(), shop.catalogue()
        patch.setattr(Recommender, "answering", lambda *_: answering)
        patch.setattr(Recommender, "catalogue", lambda *_: catalogue)
        assert main(["learning", "export", out, *where]) == 0
        assert json.loads(capsys.readouterr().out)["lists"] == 1
        assert main(["learning", "export", out, "--since", since, *where]) == 0
    assert json.loads(capsys.readouterr().out)["lists"] == 0
