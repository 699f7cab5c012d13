"""Keys, limits, the line, and the command that serves."""

import asyncio
import json
import os
import re
import signal
import stat
import subprocess
import sys
from pathlib import Path

import httpx2
import pytest

from llmrec import Recommender
from llmrec.errors import ConfigError, OverloadedError, StoreError
from llmrec.service import cli
from llmrec.service.web import work as work_module
from llmrec.service.web.door import is_loopback
from llmrec.service.web.keys import Keys
from llmrec.service.web.work import RateLimit, Work


def test_a_key_is_shown_once_and_kept_as_a_hash(tmp_path: Path) -> None:
    keys = Keys(tmp_path / "keys.json")
    key = keys.add("web")
    assert keys.owner(key) == "web"
    assert keys.owner(key + "x") is None
    assert keys.owner("") is None
    assert key not in (tmp_path / "keys.json").read_text()
    assert stat.S_IMODE((tmp_path / "keys.json").stat().st_mode) == 0o600
    for name in ("web", "", " ", "a\nb", "x" * 101):
        with pytest.raises(ConfigError):
            keys.add(name)
    other = Keys(tmp_path / "keys.json")
    other.remove("web")
    assert keys.owner(key) is None, "another process's change acts at once"
    with pytest.raises(ConfigError, match="no key"):
        other.remove("web")


@pytest.mark.parametrize("content", ["{", '{"a": 1}', '[{"name": "x"}]', "[1]"])
def test_a_damaged_file_of_keys_lets_nobody_in(tmp_path: Path, content: str) -> None:
    (tmp_path / "keys.json").write_text(content)
    with pytest.raises(StoreError, match="damaged"):
        Keys(tmp_path / "keys.json").all()


def test_a_caller_has_a_minutes_worth_and_then_one_by_one(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 0.0
    monkeypatch.setattr(work_module.time, "monotonic", lambda: now)
    limit = RateLimit(60)
    assert [limit.wait("a") for _ in range(60)] == [0.0] * 60
    assert limit.wait("a") == pytest.approx(1.0)
    assert limit.wait("b") == 0.0
    now = 1.0
    assert limit.wait("a") == 0.0
    assert limit.wait("a") > 0
    assert RateLimit(0).wait("a") == 0.0


def test_who_finds_the_line_full_is_told_how_long_it_lasts() -> None:
    async def crowd() -> tuple[list[int], list[OverloadedError]]:
        work, free = Work(at_once=1, queue=1), asyncio.Event()
        loop = asyncio.get_running_loop()

        def slow() -> int:
            asyncio.run_coroutine_threadsafe(free.wait(), loop).result(10)
            return 1

        first = [asyncio.create_task(work.answer(slow)) for _ in range(2)]
        while work.present < 2:
            await asyncio.sleep(0)
        refused = await asyncio.gather(work.answer(slow), work.answer(slow), return_exceptions=True)
        free.set()
        done = await asyncio.gather(*first)
        assert work.present == 0
        return done, [one for one in refused if isinstance(one, OverloadedError)]

    done, refused = asyncio.run(crowd())
    assert done == [1, 1]
    assert [one.retry_after > 0 for one in refused] == [True, True]


@pytest.mark.parametrize(
    ("host", "local"),
    [("127.0.0.1", True), ("localhost", True), ("::1", True), ("127.8.8.8", True), ("0.0.0.0", False),  # noqa: S104
     ("192.168.1.4", False), ("::", False), ("shop.example", False)],
)  # fmt: skip
def test_what_is_reached_from_this_machine_alone(host: str, local: bool) -> None:
    assert is_loopback(host) is local


def test_what_holds_the_workspace_is_told_and_forgotten(fitted: Recommender) -> None:
    workspace = fitted.workspace
    assert workspace.running() is None
    with workspace.locked("retrain"):
        assert workspace.running() == "retrain"
    assert workspace.running() is None
    (workspace.root / ".running").write_text(json.dumps({"purpose": "fit"}))
    assert workspace.running() is None, "a process that was killed runs nothing"


def test_the_commands_of_keys(fitted: Recommender, capsys: pytest.CaptureFixture[str]) -> None:
    place = str(fitted.workspace.root)
    assert cli.main(["keys", "add", "web", "-w", place, "--json"]) == 0
    made = json.loads(capsys.readouterr().out)
    assert Keys(fitted.workspace.keys_file).owner(made["key"]) == "web"
    assert cli.main(["keys", "-w", place]) == 0
    shown = capsys.readouterr().out
    assert "web" in shown
    assert made["key"] not in shown
    assert cli.main(["keys", "add", "web", "-w", place]) == 2
    assert cli.main(["keys", "remove", "web", "-w", place]) == 0
    assert cli.main(["keys", "remove", "web", "-w", place]) == 2


def test_serving_other_machines_without_a_key_is_refused(
    fitted: Recommender, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["serve", "-w", str(fitted.workspace.root), "--host", "0.0.0.0", "--port", "0"]) == 2  # noqa: S104
    assert "keys add" in capsys.readouterr().err


def test_a_port_that_is_taken_is_named(fitted: Recommender, capsys: pytest.CaptureFixture[str]) -> None:
    import socket

    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        assert cli.main(["serve", "-w", str(fitted.workspace.root), "--port", str(port)]) == 2
    error = capsys.readouterr().err
    assert str(port) in error
    assert "--port" in error


def test_a_server_that_is_told_to_stop_ends_what_it_began(fitted: Recommender) -> None:
    """The real command and models, in a process of its own; the language model is switched off."""
    fitted.close()
    script = (
        "import sys; from llmrec import Recommender; from llmrec.testing import WordEncoder, OverlapLanguageModel\n"
        "real = Recommender.open.__func__\n"
        "fakes = dict(encoder=WordEncoder(), language_model=OverlapLanguageModel())\n"
        "Recommender.open = classmethod(lambda cls, *a, **k: real(cls, *a, **{**fakes, **k}))\n"
        "from llmrec.service.cli import main; sys.exit(main(sys.argv[1:]))"
    )
    command = [sys.executable, "-c", script, "serve", "-w", str(fitted.workspace.root), "--port", "0"]
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=environment) as process:
        assert process.stderr is not None
        address = next(found[1] for line in process.stderr if (found := re.search(r"(http://[\d.:]+)", line)))
        with httpx2.Client(base_url=address, trust_env=False, timeout=30) as http:
            body = {"user_id": "ann", "message": "only kitchen things"}
            with http.stream("POST", "/v1/chat", json=body) as answer:
                process.send_signal(signal.SIGTERM)
                text = "".join(answer.iter_text())
        assert "event: reply" in text
        log = process.stderr.read()
        assert process.wait(30) == 0
    (line,) = [json.loads(one) for one in log.splitlines() if '"route"' in one]
    assert line["route"] == "/v1/chat"
    assert line["status"] == 200
