"""Fetching a wheel through pip's package index: the only network access besides the model hub's.

pip is asked where the wheel is, so its settings (index, mirror, links, proxy) hold. The download itself is done here,
because it goes on where it stopped, even after a kill.
"""

from __future__ import annotations

import http.client
import json
import logging
import ssl
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from pathlib import Path

from tqdm import tqdm

from llmrec.errors import SourceError

__all__ = ["download_wheel"]

_CHUNK = 1 << 20
_TIMEOUT = 30  # seconds without a byte
_TRIES = 5  # in a row, without progress
_BACKOFF = 0.5  # seconds, doubled before each further try
_NETWORK_ERRORS = (urllib.error.URLError, http.client.HTTPException, ConnectionError, TimeoutError, ssl.SSLError)

_log = logging.getLogger(__name__)


class _OnlyPipCanError(Exception):
    """The server wants credentials, or has a certificate, that only pip may know."""


def download_wheel(project: str, version: str, part: Path, *, hint: str) -> None:
    """Complete the file `part` to the wheel of a project, keeping the bytes it already has.

    The bytes are not checked here. `hint` is what to do when this fails.

    Raises:
        SourceError: There is no pip, no network or no such wheel, or the connection broke off too often.
    """
    try:
        url = _wheel_url(project, version)
        try:
            _download(url, part)
        except _OnlyPipCanError:
            _pip_download(project, version, part)
    except (*_NETWORK_ERRORS, LookupError) as error:
        raise SourceError(f"{project} {version} cannot be fetched: {error}", hint=hint) from error


def _wheel_url(project: str, version: str) -> str:
    """The address of a wheel, from pip's installation report: so the user's index, mirror and proxy settings hold.

    With fast-deps pip (23.3 or newer) fetches only the wheel's metadata, even where the index does not serve it apart.
    An older pip quietly downloads the whole wheel and throws it away, which costs time and nothing else; a pip that
    no longer knows the option exits with 2 and is asked without it.
    """
    with tempfile.TemporaryDirectory() as scratch:
        report = Path(scratch, "report.json")
        options = ["--dry-run", "--ignore-installed", "--ignore-requires-python", "--report", str(report)]
        done = _pip("install", "--use-feature=fast-deps", *options, f"{project}=={version}")
        if done.returncode == 2:
            done = _pip("install", *options, f"{project}=={version}")
        if done.returncode != 0:
            raise LookupError(_last_line(done.stderr))
        return str(json.loads(report.read_bytes())["install"][0]["download_info"]["url"])


def _pip_download(project: str, version: str, part: Path) -> None:
    """Let pip fetch the wheel whole: it knows credentials and certificates that the report does not tell."""
    with tempfile.TemporaryDirectory(dir=part.parent) as scratch:
        done = _pip("download", "--dest", scratch, f"{project}=={version}")
        if done.returncode != 0:
            raise LookupError(_last_line(done.stderr))
        next(Path(scratch).glob("*.whl")).replace(part)


def _pip(command: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    options = ["--no-deps", "--only-binary=:all:", "--quiet", "--no-input", "--disable-pip-version-check"]
    line = [sys.executable, "-m", "pip", command, *options, *arguments]
    return subprocess.run(line, capture_output=True, text=True, check=False)  # noqa: S603


def _last_line(text: str) -> str:
    return next((line for line in reversed(text.splitlines()) if line.strip()), "pip failed without a word")


def _download(url: str, part: Path) -> None:
    """Append to `part` until it holds the whole file, trying again as long as there is progress now and then.

    Raises:
        _OnlyPipCanError: There is no progress to hope for, but pip may fare better.
    """
    failures = 0
    while True:
        before = _size(part)
        try:
            return _append(url, part)
        except _NETWORK_ERRORS as error:
            _raise_if_final(error)
            failures = 0 if _size(part) > before else failures + 1
            if failures == _TRIES:
                raise
            _log.info("%s: %s; trying again", part.name, error)
            time.sleep(_BACKOFF * 2**failures)


def _raise_if_final(error: Exception) -> None:
    if isinstance(error, urllib.error.HTTPError):
        error.close()
        if error.code in (401, 403, 407):
            raise _OnlyPipCanError(f"the server answers {error.code}") from error
        if error.code < 500 and error.code != 429:
            raise error
    if isinstance(getattr(error, "reason", None), ssl.SSLCertVerificationError):
        raise _OnlyPipCanError(str(error)) from error


def _append(url: str, part: Path) -> None:
    have = _size(part)
    request = urllib.request.Request(url, headers={"Range": f"bytes={have}-"} if have else {})  # noqa: S310
    try:
        response = urllib.request.urlopen(request, timeout=_TIMEOUT)  # noqa: S310 - the bytes are checked, not trusted
    except urllib.error.HTTPError as error:
        if error.code != 416 or not have:
            raise
        error.close()
        return  # nothing lies beyond what we have: complete, or damaged, as the checksum will tell
    with response:
        resumed = response.status == 206  # else the server, or a file: address, begins at the beginning
        expected = int(response.headers.get("Content-Length", 0)) + have * resumed
        bar = tqdm(desc=part.stem, total=expected, initial=have * resumed, unit="B", unit_scale=True, disable=None)
        with bar, part.open("ab" if resumed else "wb") as file:
            while block := response.read(_CHUNK):
                file.write(block)
                bar.update(len(block))
    if _size(part) < expected:
        raise ConnectionError(f"the connection ended at byte {_size(part)} of {expected}")


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0
