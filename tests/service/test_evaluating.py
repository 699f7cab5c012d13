"""`llmrec evaluate`: on files and on a workspace, with errors before any work; and the scripts around it."""

import json
from contextlib import chdir
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import llmrec
from llmrec import Event, Recommender
from llmrec.errors import ConfigError
from llmrec.service import cli, evaluating
from llmrec.testing import OverlapLanguageModel, WordEncoder
from tests.conftest import open_shop

START = datetime(2024, 5, 1, tzinfo=UTC)
ITEMS = 30


@pytest.fixture(autouse=True)
def fakes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A text encoder that needs no fetching, and a cache of the test's own."""
    monkeypatch.setenv("LLMREC_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(evaluating, "load_text_encoder", lambda _: WordEncoder(8))
    monkeypatch.chdir(tmp_path)


def rows() -> dict[str, list[str]]:
    """Lines of an events file by user: each takes items of one of two halves, one a day."""
    generator = np.random.default_rng(0)
    return {
        f"u{user:02d}": [
            f"u{user:02d},i{item + ITEMS // 2 * (user % 2):02d},{(START + timedelta(days=day)).isoformat()}"
            for day, item in enumerate(generator.permutation(ITEMS // 2)[:7])
        ]
        for user in range(30)
    }


def write_events(path: Path, lines: dict[str, list[str]]) -> str:
    path.write_text("\n".join(["user_id,item_id,timestamp", *(line for part in lines.values() for line in part), ""]))
    return str(path)


@pytest.fixture
def files(tmp_path: Path) -> list[str]:
    events = write_events(tmp_path / "events.csv", rows())
    items = tmp_path / "items.csv"
    titles = [f"i{item:02d},{'Garden' if item < ITEMS // 2 else 'Kitchen'} thing {item}" for item in range(ITEMS)]
    items.write_text("\n".join(["item_id,title", *titles, ""]))
    return ["--items", str(items), "--events", events]


def run(*arguments: str) -> int:
    return cli.main(["evaluate", *arguments])


def report(capsys: pytest.CaptureFixture[str], *arguments: str) -> Any:
    assert run(*arguments, "--json", "-") == 0
    return json.loads(capsys.readouterr().out)


def failure(capsys: pytest.CaptureFixture[str], *arguments: str) -> dict[str, Any]:
    assert run(*arguments, "--json", "-") == 2
    said = capsys.readouterr()
    assert said.out == ""
    error = json.loads(said.err)["error"]
    assert error["hint"]
    return error  # type: ignore[no-any-return]


def test_files_give_a_report_with_the_keys_of_the_contract(
    tmp_path: Path, files: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("matplotlib")
    users = tmp_path / "users.csv"
    users.write_text("user_id,side\n" + "".join(f"u{user:02d},side{user % 2}\n" for user in range(30)))
    out, page = tmp_path / "new" / "report.json", tmp_path / "report.html"
    assert run(*files, "--users", str(users), "--json", str(out), "--html", str(page)) == 0
    form = json.loads(out.read_text())
    assert {
        "data", "protocol", "users", "candidates", "seconds", "environment", "systems", "paired", "slices",
    } <= set(form)  # fmt: skip
    assert {"popularity", "ease", "text", "retriever"} <= set(form["systems"]) == set(form["seconds"])
    assert set(form["systems"]["retriever"]["ndcg@10"]) == {"value", "low", "high"}
    assert {"difference", "low", "high"} <= set(form["paired"]["retriever-ease"]["ndcg@10"])
    assert {"cold_items", "rare_items", "short_histories", "side=side0"} <= set(form["slices"])
    assert (form["users"], form["candidates"]) == (30, ITEMS)
    assert set(form["data"]["files"]) == {"events.csv", "items.csv", "users.csv"}
    assert page.read_text().startswith("<!DOCTYPE html>")
    table = capsys.readouterr().out
    assert "MRR@10" in table
    assert max(map(len, table.splitlines())) <= 80


def test_the_order_of_users_in_a_file_changes_nothing(
    tmp_path: Path, files: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    lines = rows()
    other = {user: lines[user] for user in np.random.default_rng(1).permutation(list(lines))}
    one = report(capsys, *files)
    two = report(capsys, *files[:3], write_events(tmp_path / "other.csv", other))
    for part in ("systems", "paired", "slices", "recall_curve"):
        assert one[part] == two[part], part


@pytest.fixture
def trainable(monkeypatch: pytest.MonkeyPatch) -> None:
    """Settings by which the few events of the files are trained on."""
    for name, value in {"MINIMUM_EVENTS": "10", "DIMENSION": "8", "LAYERS": "1", "MAX_EVENTS": "8"}.items():
        monkeypatch.setenv(f"LLMREC_ENCODER__{name}", value)


@pytest.mark.usefixtures("trainable")
@pytest.mark.parametrize("protocol", [[], ["--protocol", "temporal", "--split-at", "2024-06-05"]])
def test_a_planted_future_event_changes_no_list(
    tmp_path: Path, files: list[str], capsys: pytest.CaptureFixture[str], protocol: list[str]
) -> None:
    """Everybody's newest event is on one item: who had seen it would recommend it, and another where it is another."""
    items = Path(files[1])
    items.write_text(items.read_text() + "plant0,Nothing of the kind\nplant1,Something else\n")
    found = []
    for plant in ("plant0", "plant1"):
        moment = (START + timedelta(days=40)).isoformat()
        lines = {user: [*part, f"{user},{plant},{moment}"] for user, part in rows().items()}
        events = write_events(tmp_path / f"{plant}.csv", lines)
        found.append(report(capsys, "--items", str(items), "--events", events, "--epochs", "2", *protocol))
    assert "encoder" in found[0]["protocol"]
    assert found[0]["slices"]["cold_items"]["users"] == 30
    for system in ("popularity", "ease"):
        assert found[0]["systems"][system]["recall@5"]["value"] == 0, system
    for system, metrics in found[0]["systems"].items():
        for metric in ("novelty@10", "popularity@5", "diversity@10", "coverage@5"):
            assert found[1]["systems"][system][metric] == metrics[metric], (system, metric)


def test_a_split_in_time_and_items_held_out_are_options(files: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    by_time = report(capsys, *files, "--protocol", "temporal", "--split-at", "0.7", "--baselines-only")
    assert by_time["protocol"]["name"] == "temporal"
    assert "retriever" not in by_time["systems"]
    held = report(capsys, *files, "--cold-items", "0.2")
    assert held["protocol"]["held_out_items"] == ITEMS // 5
    cold = held["slices"]["cold_items"]
    assert cold["users"] > 0
    assert {"text", "retriever"} <= set(cold["systems"])


@pytest.mark.usefixtures("trainable")
def test_settings_and_options_say_how_to_train(files: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    found = report(capsys, *files, "--epochs", "1", "--seeds", "2", "--sasrec")
    assert {"retriever", "retriever-8", "sasrec"} <= set(found["systems"])
    assert found["protocol"]["seeds"] == [7, 8]
    assert found["protocol"]["encoder"]["epochs"] == 1


@pytest.fixture
def shop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A fitted shop with two items shown and one clicked; commands open it with the deterministic stand-ins."""
    with open_shop(tmp_path / "shop") as rec:
        rec.fit()
        for item, kind in (("gloves", "impression"), ("pan", "impression"), ("gloves", "like")):
            rec.feedback(Event("ann", item, kind, recommendation_id="r1"))
    real = Recommender.open.__func__  # type: ignore[attr-defined]
    parts = {"encoder": WordEncoder(), "language_model": OverlapLanguageModel()}
    monkeypatch.setattr(llmrec.Recommender, "open", classmethod(lambda cls, path: real(cls, path, **parts)))
    return str(tmp_path / "shop")


def test_a_workspace_is_measured_with_what_its_users_did(shop: str, capsys: pytest.CaptureFixture[str]) -> None:
    found = report(capsys, "-w", shop)
    assert found["data"]["name"] == "shop"
    assert found["candidates"] == 8
    assert {"text", "retriever"} <= set(found["systems"])
    outcome = found["releases"]["rank/0001"]
    assert (outcome["impressions"], outcome["clicks"], outcome["opinions"]) == (2, 1, 1)
    assert outcome["click_through_rate"]["value"] == 0.5
    assert run("-w", shop) == 0
    said = capsys.readouterr().out
    assert "50.0% [9.5%, 90.5%]" in said
    assert "note: " in said
    assert max(map(len, said.splitlines())) <= 80


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["--items", "items.csv"], "no events"),
        (["--events", "gone.csv"], "gone.csv"),
        (["--events", "events.csv", "--items", "gone.csv"], "gone.csv"),
        (["--events", "events.csv", "--split-at", "0.5"], "splits at no moment"),
        (["--events", "events.csv", "--protocol", "temporal", "--split-at", "soon"], "'soon'"),
        (["--events", "events.csv", "--protocol", "temporal", "--split-at", "2000-01-01"], "no event lies before"),
        (["--events", "events.csv", "--cold-items", "2"], "not between 0 and 1"),
        (["--events", "events.csv", "--rename", "who"], "THEIRS=OURS"),
        (["--events", "events.csv", "--html", "."], "is a directory"),
        (["--events", "events.csv", "--html", "-"], "cannot go to standard output"),
        (["-w", "nowhere"], "not a workspace"),
        (["--events", "events.csv", "-w", "nowhere"], "both files and a workspace"),
        (["--format", "csv"], "a workspace has one format"),
        (["--rename", "who=user_id"], "a workspace has one format"),
        (["--events", "events.csv", "--baselines-only", "--sasrec"], "nothing is trained"),
        (["--events", "events.csv", "--baselines-only", "--seeds", "2"], "nothing is trained"),
        (["--events", "events.csv", "--baselines-only", "--epochs", "2"], "nothing is trained"),
        (["--events", "events.csv", "--cold-items", "0.2"], "without texts"),
    ],
)
def test_expected_errors_exit_2_and_name_the_next_step(
    files: list[str], capsys: pytest.CaptureFixture[str], arguments: list[str], complaint: str
) -> None:
    assert complaint in failure(capsys, *arguments)["message"]


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("user_id,item_id\nann,pan\nann,pot\n", "no user has events to foretell"),
        ("user,item_id\nann,pan\n", "needs user_id"),
        ("user_id,item_id,kind,value\nann,pan,rating,many\n", "events.csv:2: value"),
        ("", "is empty"),
    ],
)
def test_data_that_cannot_be_measured_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], text: str, complaint: str
) -> None:
    (tmp_path / "events.csv").write_text(text)
    assert complaint in failure(capsys, "--events", "events.csv")["message"]


def test_where_a_report_cannot_be_written_nothing_is_begun(
    files: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(evaluating, "evaluate_data", pytest.fail)
    Path("taken").write_text("a file")
    assert run(*files, "--json", "taken/report.json") == 2
    assert "taken" in capsys.readouterr().err
    assert run(*files, "--json", "report", "--html", "./report") == 2
    assert "name another file" in capsys.readouterr().err


@pytest.mark.parametrize(("options", "said"), [([], True), (["--baselines-only"], False)])
def test_ctrl_c_says_how_to_go_on_where_something_is_trained(
    files: list[str],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    options: list[str],
    said: bool,
) -> None:
    def interrupt(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(evaluating, "standard_report", interrupt)
    assert run(*files, *options) == 130
    assert ("the same command goes on" in capsys.readouterr().err) == said


@pytest.mark.parametrize(("option", "is_json"), [("--json=-", True), ("--json=report.json", False)])
def test_errors_are_json_where_the_report_would_be_on_standard_output(
    capsys: pytest.CaptureFixture[str], option: str, is_json: bool
) -> None:
    assert run("--events", "gone.csv", option) == 2
    assert capsys.readouterr().err.startswith("{") == is_json


def test_a_report_is_kept_before_it_is_printed(
    tmp_path: Path, files: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def closed(_: object) -> None:
        raise BrokenPipeError

    monkeypatch.setattr(evaluating, "print_report", closed)
    with pytest.raises(BrokenPipeError):
        run(*files, "--baselines-only", "--json", "report.json")
    assert json.loads(Path("report.json").read_text())["users"] == 30


def test_after_a_second_release_a_note_says_how_impressions_are_credited(
    shop: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert not any("credited" in note for note in report(capsys, "-w", shop)["notes"])
    with Recommender.open(Path(shop)) as rec:
        rec.fit()
    assert any("credited" in note for note in report(capsys, "-w", shop)["notes"])


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("0.8", 0.8),
        (".5", 0.5),
        ("2024-05-01", START),
        ("2024-05-01T02:00:00+02:00", START),
        ("1714521600", START),
    ],
)
def test_the_moment_of_a_split_is_a_share_or_a_time(text: str, meant: float | datetime) -> None:
    assert evaluating.share_or_time(text) == meant


@pytest.mark.parametrize(
    "text", ["0", "1", "80", "2024", "20240501", "-0.5", "1e400", "nan", "1714521600000", "soon", ""]
)
def test_what_is_neither_a_share_nor_a_time_is_refused(text: str) -> None:
    with pytest.raises(ConfigError, match="neither a share of the events nor a time"):
        evaluating.share_or_time(text)


def test_data_from_here_is_called_as_the_folder_is(
    tmp_path: Path, files: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "shop"
    folder.mkdir()
    (folder / "shop.inter").write_text(
        "user_id:token\titem_id:token\ttimestamp:float\n"
        + "".join(f"u{user}\ti{(user + day) % 9}\t{1_700_000_000 + day}\n" for user in range(9) for day in range(5))
    )
    (folder / "shop.item").write_text(
        "item_id:token\ttitle:token_seq\n" + "".join(f"i{i}\tThing {i}\n" for i in range(9))
    )
    with chdir(folder):
        found = report(capsys, "--data", ".", "--format", "recbole", "--baselines-only")
    assert found["data"]["name"] == "shop"
