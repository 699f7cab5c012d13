"""The exported set: what a retraining learns from shown lists, without who it was."""

import hashlib
import json
import warnings
from pathlib import Path

import pytest
from datasets import load_dataset
from transformers import AutoModelForCausalLM, AutoTokenizer

from llmrec import Event, Recommender
from llmrec.learning import export_lists
from llmrec.service.cli import main
from tests.conftest import open_shop
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


def test_free_text_is_exported_without_personal_data_where_it_is_switched_on(tmp_path: Path) -> None:
    with open_shop(tmp_path / "shop", settings={"learning": {"free_text": True}}) as rec:
        rec.fit()
        rec.feedback(Event("ann", kind="search", text="rainy days, ann@example.com"))
        answer(rec, shown(rec), 2)
        made = export_lists(rec, tmp_path / "choices.jsonl")
    written = made.path.read_text()
    assert "searched for : rainy days , < email_address >" in written
    assert "example" not in written
    assert "Presidio" in made.card["left_out"]


def test_trl_trains_on_an_export_as_it_is(shop: Recommender, tmp_path: Path, tiny_base: Path) -> None:
    trl = pytest.importorskip("trl")
    for user_id, place in (("ann", 2), ("bob", 3)):
        answer(shop, shown(shop, user_id), place)
    made = export_lists(shop, tmp_path / "choices.jsonl")
    rows = load_dataset("json", data_files=str(made.path), split="train", cache_dir=str(tmp_path / "cache"))
    assert rows.column_names == ["prompt", "completion", "label"]
    assert len(rows) == made.card["rows"]
    assert {type(row["label"]) for row in rows} == {bool}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of what trl and transformers call otherwise since their last versions
        trainer = trl.KTOTrainer(
            model=AutoModelForCausalLM.from_pretrained(tiny_base),
            args=trl.KTOConfig(
                output_dir=str(tmp_path / "run"), max_steps=1, per_device_train_batch_size=4, use_cpu=True,
                report_to="none", save_strategy="no", disable_tqdm=True, bf16=False,
            ),
            train_dataset=rows,
            processing_class=AutoTokenizer.from_pretrained(tiny_base),
        )  # fmt: skip
        trainer.train()
    assert trainer.state.global_step == 1
