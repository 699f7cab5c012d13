"""`llmrec doctor`: is this machine fit for the work, and is this workspace whole?"""

from __future__ import annotations

import platform
import shutil
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Literal

import llmrec
import llmrec.models
from llmrec.artifacts import cache_dir
from llmrec.config import FILE_NAME
from llmrec.data import sqlite_info
from llmrec.errors import LlmrecError

__all__ = ["Finding", "examine"]

_PACKAGES = ("llmrec", "torch", "transformers", "peft", "accelerate", "faiss-cpu", "sqlalchemy", "bitsandbytes")
_LOW_DISK = 2 * 1024**3


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing looked at."""

    what: str
    state: Literal["ok", "note", "fault"]
    detail: str

    def to_dict(self) -> dict[str, Any]:
        """The JSON form."""
        return asdict(self)


def examine(workspace: Path) -> Iterator[Finding]:
    """Every finding, the machine first, then the models, then the workspace if the directory is one."""
    yield Finding("python", "ok", platform.python_version())
    yield from (_package(name) for name in _PACKAGES)
    yield from _machine()
    for model in llmrec.models.known_models():
        yield Finding(f"model {model.name}", "ok" if model.cached else "note", model.where)
    if (workspace / FILE_NAME).exists():
        yield from _workspace(workspace)
    else:
        yield Finding("workspace", "note", f"{workspace} is none; `llmrec init DIR` makes one")


def _package(name: str) -> Finding:
    try:
        return Finding(name, "ok", version(name))
    except PackageNotFoundError:
        return Finding(name, "note", "not installed")


def _machine() -> Iterator[Finding]:
    device = llmrec.models.choose_device("auto")
    yield Finding(
        "device", "ok", f"{device}, computing in {llmrec.models.choose_dtype('auto', device)}".replace("torch.", "")
    )
    sqlite = sqlite_info()
    yield Finding("sqlite", "ok" if sqlite.safe_wal else "note", sqlite.detail)
    cache = cache_dir()
    home = next(path for path in (cache, *cache.parents) if path.exists())
    free = shutil.disk_usage(home).free
    yield Finding("cache", "ok" if free > _LOW_DISK else "note", f"{cache}, {free / 1024**3:.1f} GiB free")


def _workspace(workspace: Path) -> Iterator[Finding]:
    try:
        rec = llmrec.Recommender.open(workspace)
    except LlmrecError as error:
        yield _fault("workspace", error)
        return
    with rec:
        checks: dict[str, Callable[[], str]] = {
            "store": lambda: _counts(rec),
            "release": lambda: _release(rec),
            "index": lambda: _index(rec),
        }
        for what, check in checks.items():
            try:
                yield Finding(what, "ok", check())
            except LlmrecError as error:
                yield _fault(what, error)


def _counts(rec: llmrec.Recommender) -> str:
    return ", ".join(f"{number} {name}" for name, number in rec.store.counts().items())


def _release(rec: llmrec.Recommender) -> str:
    release = rec.releases.champion()
    if release is None:
        return "none yet: run `llmrec fit`"
    for part in release.manifest["files"]:
        release.part(part)
    return f"{release.version} is live, every file as its manifest says"


def _index(rec: llmrec.Recommender) -> str:
    catalogue = rec.catalogue()
    return f"{len(catalogue.index)} vectors of {catalogue.index.dimension} dimensions, in step with the store"


def _fault(what: str, error: LlmrecError) -> Finding:
    return Finding(what, "fault", f"{error}; next step: {error.hint}")
