"""The commands: exit codes, JSON for machines, and errors that name the next step."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import llmrec
from llmrec.models import ModelSource
from llmrec.service import cli, printing
from llmrec.testing import OverlapLanguageModel, WordEncoder
from llmrec.workspace import Workspace
from tests.conftest import open_shop

COMMANDS = ["demo", "init", "import", "fit", "recommend", "rank", "why", "chat", "feedback", "retrain", "replay",
            "releases", "forget", "evaluate", "models", "doctor", "serve", "keys"]  # fmt: skip


@pytest.fixture
def shop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A fitted shop on disk; commands open it with the deterministic stand-ins."""
    with open_shop(tmp_path / "shop") as rec:
        rec.fit()
    real = llmrec.Recommender.open.__func__  # type: ignore[attr-defined]

    def with_fakes(cls: type, path: Path, *given: Any, **parts: Any) -> llmrec.Recommender:
        parts = {"encoder": WordEncoder(), "language_model": OverlapLanguageModel(), **parts}
        return real(cls, path, *given, **parts)  # type: ignore[no-any-return]

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
    assert set(got["items"][0]) == {"rank", "item_id", "title", "attributes", "score", "probability", "parts"}
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
    assert "too few" in failure(capsys, 2, "replay", "-w", shop)["message"]
    assert "frozen, anew" in failure(capsys, 2, "replay", "--policy", "lazy", "-w", shop)["hint"]
    assert failure(capsys, 2, "import", "-w", shop)["message"] == "nothing to import"
    assert failure(capsys, 2, "init", shop)["type"] == "WorkspaceError"
    assert "missing.csv" in failure(capsys, 2, "import", "--items", "missing.csv", "-w", shop)["message"]
    assert failure(capsys, 2, "feedback", "ann", "pan", "--kind", "rating", "-w", shop)["type"] == "DataError"


def test_a_log_is_played_again_and_kept_as_a_page(
    tmp_path: Path, shop: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = [
        f"u{user},{item},2024-03-{day + 1:02d}"
        for day in range(28)
        for user, item in ((day % 9, ["pan", "rake"][day % 2]),)
    ]
    (tmp_path / "more.csv").write_text("\n".join(["user_id,item_id,timestamp", *rows]))
    assert run("import", "--events", str(tmp_path / "more.csv"), "-w", shop) == 0
    capsys.readouterr()
    arguments = ("--blocks", "2", "--requests", "5", "--policy", "frozen", "--policy", "evolving")
    told = answer(capsys, "replay", *arguments, "--html", str(tmp_path / "replay.html"), "-w", shop)
    assert set(told["policies"]) == {"frozen", "evolving"}
    assert len(told["policies"]["frozen"]["ndcg"]) == 2
    assert "<svg" not in (page := (tmp_path / "replay.html").read_text())
    assert "evolving" in page
    assert run("replay", *arguments, "-w", shop) == 0
    assert "evolving" in capsys.readouterr().out


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


def test_a_wrong_pair_is_told_what_pairs_look_like_there(shop: str, capsys: pytest.CaptureFixture[str]) -> None:
    for arguments, example in (
        (("recommend", "ann", "--where", "garden"), "genres=Comedy"),
        (("recommend", "ann", "--context", "winter"), "season=winter"),
        (("why", "ann", "pan", "--context", "winter"), "season=winter"),
        (("import", "--items", "items.csv", "--rename", "title"), "userId=user_id"),
    ):
        assert example in failure(capsys, 2, *arguments, "-w", shop)["hint"]
    assert "THEIRS=OURS" in failure(capsys, 2, "import", "--items", "x.csv", "--rename", "title", "-w", shop)["message"]


def test_rank_without_a_history_names_the_options(shop: str, capsys: pytest.CaptureFixture[str]) -> None:
    hint = failure(capsys, 2, "rank", "pan", "pot", "-w", shop)["hint"]
    assert "--history" in hint
    assert "--user" in hint


def test_commands_in_hints_name_the_workspace(
    tmp_path: Path, shop: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    new = str(tmp_path / "a shop")
    assert run("init", new) == 0
    assert f"llmrec import --items FILE -w '{new}'" in capsys.readouterr().err
    assert f"`llmrec import --items FILE -w '{new}'`" in failure(capsys, 2, "fit", "-w", new)["hint"]
    assert f"`llmrec import --items FILE -w {shop}`" in failure(capsys, 2, "why", "ann", "sofa", "-w", shop)["hint"]
    monkeypatch.chdir(new)
    assert "`llmrec import --items FILE`" in failure(capsys, 2, "fit")["hint"]
    # A hint that names its directory already is left alone.
    assert failure(capsys, 2, "recommend", "ann", "-w", new)["hint"].count("-w") == 1
    assert f"llmrec init {tmp_path}`" in failure(capsys, 2, "fit", "-w", str(tmp_path))["hint"]


def test_every_step_names_the_next_one(tmp_path: Path, shop: str, capsys: pytest.CaptureFixture[str]) -> None:
    new, items = str(tmp_path / "new"), tmp_path / "items.csv"
    items.write_text("item_id,title\nrake,Rake\npan,Pan\n")
    steps = [
        (("init", new), f"llmrec import --items FILE -w {new}"),
        (("import", "--items", str(items), "-w", new), f"llmrec fit -w {new}"),
        (("fit", "-w", new), f"llmrec recommend USER -w {new}"),
        (("import", "--items", str(items), "-w", new), f"llmrec recommend USER -w {new}"),
        (("feedback", "ann", "pan", "-w", new), f"llmrec recommend ann -w {new}"),
        (("recommend", "ann", "--context", "a=b c", "-w", new), f"llmrec why ann rake --context 'a=b c' -w {new}"),
    ]
    for arguments, following in steps:
        capsys.readouterr()
        assert run(*arguments) == 0
        assert following in capsys.readouterr().err


def test_an_empty_answer_says_what_left_nothing(shop: str, capsys: pytest.CaptureFixture[str]) -> None:
    def said(*arguments: str) -> str:
        assert run("recommend", *arguments, "-w", shop) == 0
        return capsys.readouterr().out

    assert "no item fits --where tags=. Frequent values of tags: home, garden, kitchen\n" in said(
        "ann", "--where", "tags="
    )
    assert "no item fits all of --where together" in said("ann", "--where", "room=garden", "--where", "tags=kitchen")
    for item in ("pan", "pot", "knife", "board"):
        assert run("feedback", "ann", item, "--kind", "hide", "-w", shop) == 0
    assert "that fits --where was seen or hidden (--seen" in said("ann", "--where", "room=kitchen")
    assert run("feedback", "ann", "gloves", "-w", shop) == 0
    assert "recommend: every item was seen or hidden (--seen" in said("ann")


def test_why_explains_the_score_of_the_same_situation(shop: str, capsys: pytest.CaptureFixture[str]) -> None:
    def parts(*options: str) -> tuple[dict[str, float], dict[str, float]]:
        first = answer(capsys, "recommend", "ann", "-n", "1", *options, "-w", shop)["items"][0]
        why = answer(capsys, "why", "ann", first["item_id"], *options, "-w", shop)
        return first["parts"], {one["text"]: one["strength"] for one in why["evidence"] if one["kind"] == "part"}

    recommended, explained = parts("--context", "wish=garden gloves")
    assert explained == pytest.approx(recommended)
    assert parts()[1] != pytest.approx(explained)


@pytest.mark.parametrize("level", ["foo", "17"])
def test_a_level_of_logging_that_does_not_exist_is_refused(
    shop: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], level: str
) -> None:
    monkeypatch.setenv("LLMREC_LOG", level)
    assert "LLMREC_LOG" in failure(capsys, 2, "recommend", "ann", "-w", shop)["message"]


@pytest.mark.parametrize("level", ["", "info", "ERROR"])
def test_the_level_of_logging_is_no_unknown_setting(shop: str, monkeypatch: pytest.MonkeyPatch, level: str) -> None:
    monkeypatch.setenv("LLMREC_LOG", level)
    assert run("recommend", "ann", "-w", shop) == 0


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
    assert f"llmrec fit -w {shop}" in found["release"]["detail"]


def test_models_are_listed(capsys: pytest.CaptureFixture[str]) -> None:
    names = {model["name"] for model in answer(capsys, "models")}
    assert names == {"smollm2-135m-instruct", "all-minilm-l6-v2"}


@pytest.mark.parametrize("arguments", [("fetch", "--json"), ("--json", "fetch")])
def test_fetching_models_answers_machines(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...]
) -> None:
    monkeypatch.setattr(llmrec.models, "fetch", lambda name: ModelSource(name, tmp_path / name, "abc", "here"))
    assert run("models", *arguments) == 0
    fetched = json.loads(capsys.readouterr().out)
    assert [one["name"] for one in fetched] == ["smollm2-135m-instruct", "all-minilm-l6-v2"]
    assert fetched[0] == {"name": fetched[0]["name"], "where": str(tmp_path / fetched[0]["name"]), "sha256": "abc"}


def test_what_does_not_fit_the_width_is_neither_cut_nor_broken(capsys: pytest.CaptureFixture[str]) -> None:
    path = "/a" * 120
    printing.say(f"error: {path} is missing")
    assert capsys.readouterr().err == f"error: {path} is missing\n"
    printing.print_table("Models", ["name", "where"], [["one", path]])
    cells = [line.split("│")[2].strip() for line in capsys.readouterr().out.splitlines() if line.startswith("│")]
    assert "".join(cells) == path


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


def test_ctrl_c_while_the_program_loads_shows_no_traceback() -> None:
    code = (
        "import sys\n"
        "class Interrupt:\n"
        "    def find_spec(self, name, *_):\n"
        "        if name == 'llmrec.service.cli': raise KeyboardInterrupt\n"
        "sys.meta_path.insert(0, Interrupt())\n"
        "from llmrec.__main__ import main; sys.exit(main())"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (130, "", "")
