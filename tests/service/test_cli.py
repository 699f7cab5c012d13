"""The commands: exit codes, JSON for machines, and errors that name the next step."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import llmrec
from llmrec.service import cli
from llmrec.testing import OverlapLanguageModel, WordEncoder
from llmrec.workspace import Workspace
from tests.conftest import open_shop

COMMANDS = ["demo", "init", "import", "fit", "recommend", "rank", "why", "feedback", "models", "doctor"]


@pytest.fixture
def shop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A fitted shop on disk; commands open it with the deterministic stand-ins."""
    with open_shop(tmp_path / "shop") as rec:
        rec.fit()
    real = llmrec.Recommender.open.__func__  # type: ignore[attr-defined]

    def with_fakes(cls: type, path: Path, **given: Any) -> llmrec.Recommender:
        parts = {"encoder": WordEncoder(), "language_model": OverlapLanguageModel(), **given}
        return real(cls, path, **parts)  # type: ignore[no-any-return]

    monkeypatch.setattr(llmrec.Recommender, "open", classmethod(with_fakes))
    return str(tmp_path / "shop")


def run(*arguments: str) -> int:
    return cli.main(list(arguments))


def answer(capsys: pytest.CaptureFixture[str], *arguments: str) -> Any:
    assert run(*arguments, "--json") == 0
    return json.loads(capsys.readouterr().out)


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_explains_itself_with_an_example(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(command, "--help") == 0
    assert f"Example: llmrec {command}" in " ".join(capsys.readouterr().out.split())


def test_recommend_answers_as_agreed(shop: str, capsys: pytest.CaptureFixture[str]) -> None:
    got = answer(capsys, "recommend", "ann", "-n", "2", "-w", shop)
    assert set(got) == {"recommendation_id", "user_id", "release", "fallback", "items", "trace"}
    assert set(got["items"][0]) == {"rank", "item_id", "title", "score", "probability", "parts"}
    assert got["items"][0]["item_id"] == "gloves"
    assert len(got["items"]) == 2
    assert set(got["trace"]) >= {"path", "history_trimmed", "prompt_tokens", "seconds", "notes"}


def test_recommend_takes_conditions_and_options(shop: str, capsys: pytest.CaptureFixture[str]) -> None:
    got = answer(
        capsys, "recommend", "ann", "--where", "room=kitchen", "--where", "price=10", "--where", "price=11", "-w", shop
    )
    assert {item["item_id"] for item in got["items"]} == {"pan", "pot"}
    got = answer(capsys, "recommend", "ann", "--no-llm", "--seen", "--context", "season=winter", "-w", shop)
    assert {part for item in got["items"] for part in item["parts"]} == {"retrieval"}
    assert len(got["items"]) == 8


def test_rank_why_and_feedback_answer_as_agreed(shop: str, capsys: pytest.CaptureFixture[str]) -> None:
    ranked = answer(capsys, "rank", "pan", "hose", "--history", "rake", "-w", shop)["items"]
    assert [item["item_id"] for item in ranked] == ["hose", "pan"]
    why = answer(capsys, "why", "ann", "gloves", "-w", shop)
    assert why["text"]
    assert {"kind", "item_id", "strength"} <= set(why["evidence"][0])
    kept = answer(capsys, "feedback", "ann", "pan", "--event-id", "e1", "-w", shop)
    assert kept == {"event_id": "e1", "sequence": 13}
    assert answer(capsys, "feedback", "ann", "pan", "--event-id", "e1", "-w", shop) == kept


def test_people_get_tables_and_bars(shop: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("recommend", "ann", "-w", shop) == 0
    assert "Garden gloves" in capsys.readouterr().out
    assert run("why", "ann", "gloves", "-w", shop) == 0
    assert "+++" in capsys.readouterr().out


def test_a_workspace_from_nothing(tmp_path: Path, shop: str, capsys: pytest.CaptureFixture[str]) -> None:
    new = str(tmp_path / "new")
    items, events = tmp_path / "items.csv", tmp_path / "events.jsonl"
    items.write_text("item_id,title,level\nc1,Knitting for beginners,1\nc2,Advanced knitting,2\nc3,Roman history,1\n")
    events.write_text('{"user_id": "kim", "item_id": "c1", "kind": "purchase"}\n')
    assert run("init", new) == 0
    assert "candidates" in (tmp_path / "new" / "llmrec.toml").read_text()
    report = answer(capsys, "import", "--items", str(items), "--events", str(events), "-w", new)
    assert report["items"]["new"] == 3
    assert answer(capsys, "fit", "-w", new)["release"] == "rank/0001"
    assert answer(capsys, "recommend", "kim", "-w", new)["items"][0]["item_id"] == "c2"
    assert answer(capsys, "import", "--events", str(events), "-w", new)["events"] == {
        "new": 0,
        "updated": 0,
        "repeated": 1,
    }


def failure(capsys: pytest.CaptureFixture[str], status: int, *arguments: str) -> dict[str, Any]:
    assert run(*arguments, "--json") == status
    said = capsys.readouterr()
    assert said.out == ""
    error = json.loads(said.err)["error"]
    assert error["hint"]
    return error  # type: ignore[no-any-return]


def test_expected_errors_exit_2_and_name_the_next_step(
    tmp_path: Path, shop: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert "llmrec init" in failure(capsys, 2, "recommend", "ann", "-w", str(tmp_path))["hint"]
    assert failure(capsys, 2, "why", "ann", "sofa", "-w", shop)["type"] == "UnknownItemError"
    assert "known attributes" in failure(capsys, 2, "recommend", "ann", "--where", "a=b", "-w", shop)["hint"]
    assert "NAME=VALUE" in failure(capsys, 2, "recommend", "ann", "--where", "ab", "-w", shop)["message"]
    assert failure(capsys, 2, "import", "-w", shop)["message"] == "nothing to import"
    assert failure(capsys, 2, "init", shop)["type"] == "WorkspaceError"
    assert "missing.csv" in failure(capsys, 2, "import", "--items", "missing.csv", "-w", shop)["message"]
    assert failure(capsys, 2, "feedback", "ann", "pan", "--kind", "rating", "-w", shop)["type"] == "DataError"


def test_a_bad_row_is_shown_with_file_line_value_and_reason(
    tmp_path: Path, shop: str, capsys: pytest.CaptureFixture[str]
) -> None:
    events = tmp_path / "events.csv"
    events.write_text("user_id,item_id,kind,value\nann,pan,rating,nan\nann,sofa,view,\nann,pot,view,\n")
    error = failure(capsys, 2, "import", "--events", str(events), "-w", shop)
    assert error["total"] == 2
    assert "events.csv:2: value = 'nan'" in error["rows"][0]
    assert "events.csv:3: item_id = 'sofa'" in error["rows"][1]
    assert "--skip-bad" in error["hint"]
    report = answer(capsys, "import", "--events", str(events), "--skip-bad", "-w", shop)
    assert (report["events"]["new"], report["skipped_total"]) == (1, 2)


def test_a_locked_workspace_exits_75(shop: str, capsys: pytest.CaptureFixture[str]) -> None:
    with Workspace(Path(shop)).locked("test"):
        assert failure(capsys, 75, "fit", "-w", shop)["type"] == "BusyError"
        assert run("feedback", "ann", "pan", "-w", shop) == 0
        assert run("recommend", "ann", "-w", shop) == 0


def test_usage_errors_exit_2(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("recommend") == 2
    assert run("no-such-command") == 2
    assert "No such command" in capsys.readouterr().err


def test_ctrl_c_exits_130_and_keeps_the_release(shop: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(llmrec.Recommender, "fit", interrupt)
    assert run("fit", "-w", shop) == 130


def test_doctor_finds_a_whole_workspace_whole_and_a_damaged_one_damaged(
    tmp_path: Path, shop: str, capsys: pytest.CaptureFixture[str]
) -> None:
    found = {finding["what"]: finding for finding in answer(capsys, "doctor", "-w", shop)}
    assert {found[what]["state"] for what in ("store", "release", "index")} == {"ok"}
    assert "12 events" in found["store"]["detail"]
    (tmp_path / "shop" / "releases" / "rank" / "0001" / "fusion.json").write_text("{}")
    assert run("doctor", "-w", shop, "--json") == 2
    found = {finding["what"]: finding for finding in json.loads(capsys.readouterr().out)}
    assert found["release"]["state"] == "fault"
    assert "llmrec fit" in found["release"]["detail"]


def test_models_are_listed(capsys: pytest.CaptureFixture[str]) -> None:
    names = {model["name"] for model in answer(capsys, "models")}
    assert names == {"smollm2-135m-instruct", "all-minilm-l6-v2"}


def test_titles_cannot_write_to_the_terminal(tmp_path: Path, shop: str, capsys: pytest.CaptureFixture[str]) -> None:
    items = tmp_path / "items.jsonl"
    items.write_text(json.dumps({"item_id": "evil", "title": "\x1b[31m[bold]red[/bold]\u202e garden"}) + "\n")
    assert run("import", "--items", str(items), "-w", shop) == 0
    assert run("rank", "evil", "pan", "--history", "rake", "-w", shop) == 0
    out = capsys.readouterr().out
    assert "\x1b[31m" not in out
    assert "\u202e" not in out
    assert "[bold]" in out


def test_the_program_runs_as_a_module() -> None:
    version = subprocess.run([sys.executable, "-m", "llmrec", "--version"], capture_output=True, text=True, check=True)
    assert version.stdout.strip() == llmrec.__version__
