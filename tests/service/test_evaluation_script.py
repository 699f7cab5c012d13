"""The scripts that measure on published data: their options, their status, and what they read."""

import json
import runpy
import sys
from pathlib import Path

import pytest

from llmrec.service import evaluating
from llmrec.testing import WordEncoder

SCRIPTS = Path(__file__).parents[2] / "scripts"


@pytest.fixture(autouse=True)
def fakes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LLMREC_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(evaluating, "load_text_encoder", lambda _: WordEncoder(8))


def run(monkeypatch: pytest.MonkeyPatch, script: str, *arguments: str) -> int:
    monkeypatch.setattr(sys, "argv", [script, *arguments])
    with pytest.raises(SystemExit) as stop:
        runpy.run_path(str(SCRIPTS / script), run_name="__main__")
    return int(stop.value.code or 0)


@pytest.fixture
def folder(tmp_path: Path) -> str:
    lines = [f"u{user}\t" + " ".join(f"i{(user + step) % 12}" for step in range(5)) for user in range(12)]
    (tmp_path / "sequences.tsv").write_text("\n".join(["user_id\titem_ids", *lines, ""]))
    titles = [f"i{item}\tThing {item}\tDrama|War" for item in range(12)]
    (tmp_path / "items.tsv").write_text("\n".join(["item_id\ttitle\tgenres", *titles, ""]))
    (tmp_path / "users.tsv").write_text(
        "user_id\tgender\tage\n" + "".join(f"u{u}\t{'MF'[u % 2]}\t25\n" for u in range(12))
    )
    return str(tmp_path)


@pytest.mark.parametrize("script", ["evaluate_ml1m.py", "evaluate_games.py"])
def test_a_folder_of_sequences_is_measured(
    folder: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, script: str
) -> None:
    out = tmp_path / "out" / "report.json"
    assert run(monkeypatch, script, folder, "--baselines-only", "--json", str(out)) == 0
    form = json.loads(out.read_text())
    assert {"popularity", "ease", "text"} <= set(form["systems"])
    assert {"rare_items", "gender=F", "gender=M"} <= set(form["slices"])


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (["--stage", "full", "--baselines-only"], "--stage full measures one release"),
        (["--stage", "full", "--seeds", "2"], "--stage full measures one release"),
        (["--stage", "full", "--release", "adapters/ml-100k", "--targets", "5"], "all events but a user's last two"),
        (["--users", "3"], "are for the language model"),
        (["--targets", "3"], "are for the language model"),
        (["--hits-only"], "are for the language model"),
        (["--skip-users", "3"], "are for the language model"),
        (["--users", "0"], "so few users"),
        (["--skip-users", "-1"], "so few users"),
        (["--stage", "full", "--targets", "0"], "0 targets are none"),
        (["--release", "adapters/ml-1m"], "are for the language model"),
    ],
)
def test_options_of_the_other_stage_are_refused(
    folder: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    named: str,
) -> None:
    assert run(monkeypatch, "evaluate_ml1m.py", folder, *arguments) == 2
    assert named in capsys.readouterr().err


def test_ratings_and_films_are_cut_to_the_core(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ratings = [f"{user},{film},4,{1_000_000_000 + film}" for user in range(1, 8) for film in range(1, 7)]
    (tmp_path / "ratings.csv").write_text(
        "\n".join(["userId,movieId,rating,timestamp", *ratings, "9,1,3,1000000000", ""])
    )
    films = [f'{film},"Film {film}, The (1990)",Drama|War' for film in range(1, 10)]
    (tmp_path / "movies.csv").write_text("\n".join(["movieId,title,genres", *films, ""]))
    out = tmp_path / "report.json"
    assert run(monkeypatch, "evaluate_latest_small.py", str(tmp_path), "--baselines-only", "--json", str(out)) == 0
    data = json.loads(out.read_text())["data"]
    assert (data["users"], data["items"], data["events"]) == (7, 6, 42)


@pytest.mark.parametrize("script", ["evaluate_ml1m.py", "evaluate_games.py", "evaluate_latest_small.py"])
def test_a_folder_that_is_not_there_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], script: str
) -> None:
    assert run(monkeypatch, script, str(tmp_path / "gone")) == 2
    assert "gone" in capsys.readouterr().err


def test_no_seed_is_refused(folder: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(monkeypatch, "evaluate_games.py", folder, "--seeds", "0") == 2
    assert "1 or more" in capsys.readouterr().err


def test_variables_go_before_what_a_script_sets(folder: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name, value in {"MINIMUM_EVENTS": "1", "LAYERS": "1", "MAX_EVENTS": "4", "DIMENSION": "8"}.items():
        monkeypatch.setenv(f"LLMREC_ENCODER__{name}", value)
    assert run(monkeypatch, "evaluate_ml1m.py", folder, "--epochs", "1", "--json", "report.json") == 0
    encoder = json.loads(Path("report.json").read_text())["protocol"]["encoder"]
    assert (encoder["layers"], encoder["max_events"]) == (1, 4)
    # The script sets 128 numbers, a variable goes before it, and an argument before both.
    assert (encoder["dimension"], encoder["epochs"]) == (8, 1)


def test_ctrl_c_exits_130(folder: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(evaluating, "standard_report", interrupt)
    assert run(monkeypatch, "evaluate_games.py", folder) == 130
