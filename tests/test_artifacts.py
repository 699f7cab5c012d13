from __future__ import annotations

import errno
import http.server
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from llmrec import artifacts, downloads
from llmrec.artifacts import (
    MANIFEST,
    cache_dir,
    check_directory,
    fetch_wheel,
    fetch_wheel_files,
    is_complete,
    locked,
    new_directory,
    offline,
)
from llmrec.errors import ConfigError, SourceError
from tests.wheels import Wheel, make_wheel

CONTENT = bytes(range(256)) * 4096  # 1 MiB, stored unpacked
MEMBERS = ("thing/data.bin", "thing/notes.txt")


@pytest.fixture(autouse=True)
def _cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LLMREC_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("LLMREC_OFFLINE", raising=False)
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    monkeypatch.setattr(downloads, "_BACKOFF", 0)


@pytest.fixture
def wheel(tmp_path: Path) -> Wheel:
    return make_wheel(tmp_path / "index", "thing", {"thing/data.bin": CONTENT, "thing/notes.txt": b"notes"})


class Shop(http.server.ThreadingHTTPServer):
    """Serves one file on loopback, as badly as the test wants.

    Attributes:
        breaks: After how many bytes to cut the next answers off.
        pause: Seconds to wait after each 64 KiB.
        status: Answer with this error instead.
        ranges: Whether Range is understood.
        asked: The Range header of each request, None where there was none.
    """

    daemon_threads = True

    def __init__(self, content: bytes) -> None:
        super().__init__(("127.0.0.1", 0), Clerk)
        self.content = content
        self.breaks: list[int] = []
        self.pause = 0.0
        self.status = 200
        self.ranges = True
        self.asked: list[str | None] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/thing-1.0-py3-none-any.whl"


class Clerk(http.server.BaseHTTPRequestHandler):
    server: Shop

    def do_GET(self) -> None:
        shop, wanted = self.server, self.headers["Range"]
        shop.asked.append(wanted)
        first = int(re.findall(r"\d+", wanted)[0]) if wanted and shop.ranges else 0
        if shop.status != 200 or first >= len(shop.content):
            self.send_error(416 if shop.status == 200 else shop.status)
            return
        body = shop.content[first:]
        self.send_response(206 if first else 200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self._send(body[: shop.breaks.pop(0)] if shop.breaks else body)

    def _send(self, body: bytes) -> None:
        for start in range(0, len(body), 1 << 16):
            self.wfile.write(body[start : start + (1 << 16)])
            time.sleep(self.server.pause)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def shop(wheel: Wheel, monkeypatch: pytest.MonkeyPatch) -> Iterator[Shop]:
    with Shop(wheel.path.read_bytes()) as server:
        monkeypatch.setattr(downloads, "_wheel_url", lambda *_: server.url)
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def elsewhere(wheel: Wheel, url: str) -> subprocess.Popen[str]:
    """Another process that fetches the wheel from that address."""
    code = (
        "from llmrec import artifacts, downloads;"
        f"downloads._wheel_url = lambda *_: {url!r};"
        f"print(artifacts.fetch_wheel(*{wheel.pin!r}))"
    )
    return subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)


def left_over() -> list[str]:
    return sorted(path.name for path in (cache_dir() / "wheels").iterdir() if path.suffix != ".lock")


def test_the_cache_is_where_the_environment_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert cache_dir() == tmp_path / "cache"
    monkeypatch.delenv("LLMREC_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "home"))
    if sys.platform == "linux":
        assert cache_dir() == tmp_path / "home" / "llmrec"


def test_pip_finds_the_wheel_and_the_cache_keeps_it(wheel: Wheel, monkeypatch: pytest.MonkeyPatch) -> None:
    wheel.serve(monkeypatch)
    path = fetch_wheel(*wheel.pin)
    assert path.read_bytes() == wheel.path.read_bytes()
    wheel.path.unlink()
    monkeypatch.setenv("LLMREC_OFFLINE", "1")
    assert fetch_wheel(*wheel.pin) == path


def test_a_version_that_does_not_exist_is_a_source_error(wheel: Wheel, monkeypatch: pytest.MonkeyPatch) -> None:
    wheel.serve(monkeypatch)
    with pytest.raises(SourceError, match=r"thing 9\.9 cannot be fetched: .*thing==9\.9") as caught:
        fetch_wheel("thing", "9.9", wheel.sha256)
    assert str(cache_dir() / "wheels" / "thing-9.9.whl") in caught.value.hint


def test_without_pip_the_hint_says_where_to_put_the_file(wheel: Wheel, monkeypatch: pytest.MonkeyPatch) -> None:
    failed = subprocess.CompletedProcess([], 1, "", "python: No module named pip\n")
    monkeypatch.setattr(downloads, "_pip", lambda *_: failed)
    with pytest.raises(SourceError, match="No module named pip") as caught:
        fetch_wheel(*wheel.pin)
    target = cache_dir() / "wheels" / "thing-1.0.whl"
    assert str(target) in caught.value.hint
    wheel.path.rename(target)
    assert fetch_wheel(*wheel.pin) == target


def test_a_pip_that_does_not_know_an_option_is_asked_without_it(wheel: Wheel, monkeypatch: pytest.MonkeyPatch) -> None:
    wheel.serve(monkeypatch)
    pip = downloads._pip
    refused = subprocess.CompletedProcess([], 2, "", "invalid choice: 'fast-deps'\n")
    monkeypatch.setattr(
        downloads, "_pip", lambda *words: refused if "--use-feature=fast-deps" in words else pip(*words)
    )
    assert fetch_wheel(*wheel.pin).exists()


def test_offline_nothing_is_asked(wheel: Wheel, monkeypatch: pytest.MonkeyPatch, shop: Shop) -> None:
    monkeypatch.setenv("LLMREC_OFFLINE", "1")
    with pytest.raises(SourceError, match="LLMREC_OFFLINE"):
        fetch_wheel(*wheel.pin)
    assert shop.asked == []


@pytest.mark.parametrize(
    ("given", "wanted"),
    [
        *((word, True) for word in ("1", "true", "TRUE", "yes", "on", " on ")),
        *((word, False) for word in ("", "0", "false", "False", "no", "off")),
    ],
)
def test_offline_is_a_yes_or_a_no(given: str, wanted: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LLMREC_OFFLINE", given)
    assert offline() == wanted


def test_any_other_word_for_offline_is_refused(wheel: Wheel, monkeypatch: pytest.MonkeyPatch, shop: Shop) -> None:
    monkeypatch.setenv("LLMREC_OFFLINE", "flase")
    with pytest.raises(ConfigError, match="LLMREC_OFFLINE = 'flase'"):
        fetch_wheel(*wheel.pin)
    assert shop.asked == []


def test_a_broken_download_goes_on_where_it_stopped(wheel: Wheel, shop: Shop) -> None:
    shop.breaks = [300_000, 200_000]
    assert fetch_wheel(*wheel.pin).read_bytes() == shop.content
    assert shop.asked == [None, "bytes=300000-", "bytes=500000-"]
    assert left_over() == ["thing-1.0.whl"]


def test_without_ranges_a_broken_download_starts_over(wheel: Wheel, shop: Shop) -> None:
    shop.breaks, shop.ranges = [300_000], False
    assert fetch_wheel(*wheel.pin).read_bytes() == shop.content
    assert len(shop.asked) == 2


def test_a_finished_part_needs_no_more_bytes(wheel: Wheel, shop: Shop) -> None:
    part = cache_dir() / "wheels" / "thing-1.0.whl.part"
    part.parent.mkdir(parents=True)
    part.write_bytes(shop.content)
    assert fetch_wheel(*wheel.pin).read_bytes() == shop.content


def test_a_server_that_gives_nothing_is_given_up(wheel: Wheel, shop: Shop) -> None:
    shop.breaks = [0] * 99
    with pytest.raises(SourceError, match="ended at byte 0"):
        fetch_wheel(*wheel.pin)
    assert len(shop.asked) == downloads._TRIES


@pytest.mark.parametrize(("status", "tries"), [(404, 1), (410, 1), (503, downloads._TRIES), (429, downloads._TRIES)])
def test_only_passing_errors_are_tried_again(status: int, tries: int, wheel: Wheel, shop: Shop) -> None:
    shop.status = status
    with pytest.raises(SourceError, match=str(status)):
        fetch_wheel(*wheel.pin)
    assert len(shop.asked) == tries


def test_where_credentials_are_wanted_pip_fetches(wheel: Wheel, shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    wheel.serve(monkeypatch)
    shop.status = 401
    assert fetch_wheel(*wheel.pin).read_bytes() == shop.content


def test_no_network_is_a_source_error(wheel: Wheel, shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(downloads, "_wheel_url", lambda *_: "http://127.0.0.1:1/thing.whl")
    with pytest.raises(SourceError, match="cannot be fetched") as caught:
        fetch_wheel(*wheel.pin)
    assert "copy the wheel to" in caught.value.hint


def test_other_bytes_than_the_pinned_ones_are_deleted(wheel: Wheel, shop: Shop) -> None:
    shop.content = b"something else"
    with pytest.raises(SourceError, match=wheel.sha256) as caught:
        fetch_wheel(*wheel.pin)
    assert re.findall("[0-9a-f]{64}", str(caught.value))[0] != wheel.sha256
    assert left_over() == []


def test_a_wheel_that_was_altered_in_the_cache_is_noticed(wheel: Wheel, shop: Shop) -> None:
    path = fetch_wheel(*wheel.pin)
    path.write_bytes(b"x" * len(shop.content))
    os.utime(path, (1, 1))
    with pytest.raises(SourceError, match="not the pinned file"):
        fetch_wheel(*wheel.pin)
    assert fetch_wheel(*wheel.pin).read_bytes() == shop.content


def test_two_processes_fetch_once(wheel: Wheel, shop: Shop) -> None:
    shop.pause = 0.03
    processes = [elsewhere(wheel, shop.url) for _ in range(2)]
    outputs = [process.communicate(timeout=60)[0] for process in processes]
    assert outputs == [f"{cache_dir() / 'wheels' / 'thing-1.0.whl'}\n"] * 2
    assert shop.asked == [None]


def test_a_killed_download_leaves_a_part_that_the_next_one_completes(wheel: Wheel, shop: Shop) -> None:
    shop.pause = 0.2
    process = elsewhere(wheel, shop.url)
    part = cache_dir() / "wheels" / "thing-1.0.whl.part"
    deadline = time.monotonic() + 60
    while not (part.exists() and part.stat().st_size) and time.monotonic() < deadline:
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert left_over() == [part.name]
    had, shop.pause = part.stat().st_size, 0
    assert 0 < had < len(shop.content)
    assert fetch_wheel(*wheel.pin).read_bytes() == shop.content
    assert shop.asked[-1] == f"bytes={had}-"


def test_members_are_unpacked_and_the_wheel_is_not_kept(wheel: Wheel, shop: Shop) -> None:
    directory = fetch_wheel_files(*wheel.pin, MEMBERS)
    assert (directory / "thing/data.bin").read_bytes() == CONTENT
    assert (directory / "thing/notes.txt").read_bytes() == b"notes"
    assert left_over() == []
    assert fetch_wheel_files(*wheel.pin, MEMBERS) == directory
    assert len(shop.asked) == 1


def test_a_wheel_that_was_there_before_stays(wheel: Wheel) -> None:
    placed = cache_dir() / "wheels" / "thing-1.0.whl"
    placed.parent.mkdir(parents=True)
    wheel.path.rename(placed)
    fetch_wheel_files(*wheel.pin, MEMBERS)
    assert left_over() == ["thing-1.0.whl"]


def test_a_member_that_is_not_there_is_a_source_error(wheel: Wheel, shop: Shop) -> None:
    with pytest.raises(SourceError, match="holds no thing/else"):
        fetch_wheel_files(*wheel.pin, ("thing/else",))
    assert not list((cache_dir() / "files").glob("thing*/"))


def test_an_altered_member_is_an_error_until_repaired(wheel: Wheel, shop: Shop) -> None:
    directory = fetch_wheel_files(*wheel.pin, MEMBERS)
    (directory / "thing/notes.txt").write_bytes(b"other")
    os.utime(directory / "thing/notes.txt", (1, 1))
    with pytest.raises(SourceError, match=r"notes\.txt was altered") as caught:
        fetch_wheel_files(*wheel.pin, MEMBERS)
    assert f"delete the directory {directory}" in caught.value.hint
    with pytest.raises(SourceError) as caught:
        fetch_wheel_files(*wheel.pin, MEMBERS, hint="do something else")
    assert caught.value.hint == "do something else"
    fetch_wheel_files(*wheel.pin, MEMBERS, repair=True)
    assert (directory / "thing/notes.txt").read_bytes() == b"notes"
    fetch_wheel_files(*wheel.pin, MEMBERS, repair=True)
    assert len(shop.asked) == 2


def test_a_missing_member_is_named(wheel: Wheel, shop: Shop) -> None:
    directory = fetch_wheel_files(*wheel.pin, MEMBERS)
    (directory / "thing/data.bin").unlink()
    with pytest.raises(SourceError, match=r"data\.bin is missing"):
        fetch_wheel_files(*wheel.pin, MEMBERS)


@pytest.mark.parametrize("content", ["", "[]", "{}", "{"])
def test_a_damaged_manifest_is_an_error(content: str, wheel: Wheel, shop: Shop) -> None:
    directory = fetch_wheel_files(*wheel.pin, MEMBERS)
    (directory / MANIFEST).write_text(content)
    with pytest.raises(SourceError, match="cannot be read"):
        check_directory(directory)


def test_a_directory_that_fails_half_way_does_not_appear(tmp_path: Path) -> None:
    target = tmp_path / "made" / "thing"

    def fail() -> None:
        with locked(target), new_directory(target, {}) as directory:
            (directory / "one").write_bytes(b"1")
            raise ValueError("stop")

    with pytest.raises(ValueError, match="stop"):
        fail()
    assert not is_complete(target)
    assert [path.name for path in target.parent.iterdir() if path.suffix != ".lock"] == []


def test_a_new_directory_replaces_what_was_there(tmp_path: Path) -> None:
    target = tmp_path / "thing"
    (tmp_path / "thing.tmp").mkdir()
    (tmp_path / "thing.tmp" / "left by a killed process").touch()
    for content in (b"1", b"2"):
        with locked(target), new_directory(target, {"made": "twice"}) as directory:
            (directory / "one").write_bytes(content)
    assert (target / "one").read_bytes() == b"2"
    assert sorted(path.name for path in target.iterdir()) == ["one", MANIFEST]
    assert check_directory(target)["made"] == "twice"


def test_a_full_disk_is_a_source_error(wheel: Wheel, shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(artifacts.shutil, "copyfileobj", fail)
    with pytest.raises(SourceError, match="No space left") as caught:
        fetch_wheel_files(*wheel.pin, MEMBERS)
    assert caught.value.hint.startswith("free some space")


def test_a_cache_that_cannot_be_written_is_a_source_error(
    wheel: Wheel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("LLMREC_CACHE", str(tmp_path / "file"))
    with pytest.raises(SourceError, match="cannot be used") as caught:
        fetch_wheel(*wheel.pin)
    assert "LLMREC_CACHE" in caught.value.hint
