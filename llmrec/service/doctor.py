"""`llmrec doctor`: is this machine fit for the work, and is this workspace whole?

Everything is only looked at: nothing is fetched, rebuilt or loaded into a model.
"""

from __future__ import annotations

import platform
import shutil
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from functools import partial
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

State = Literal["ok", "note", "fault"]


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing looked at."""

    what: str
    state: State
    detail: str

    def to_dict(self) -> dict[str, Any]:
        """The JSON form."""
        return asdict(self)


def examine(workspace: Path) -> Iterator[Finding]:
    """Every finding, the machine first, then the models, then the workspace if the directory is one."""
    yield Finding("python", "ok", platform.python_version())
    yield from (_package(name) for name in _PACKAGES)
    yield from _machine()
    yield from (_checked(f"model {model.name}", partial(_model, model)) for model in llmrec.models.known_models())
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
        checks = {"store": _counts, "release": _release, "index": _index}
        yield from [_checked(what, partial(check, rec)) for what, check in checks.items()]


def _checked(what: str, check: Callable[[], tuple[State, str]]) -> Finding:
    try:
        return Finding(what, *check())
    except LlmrecError as error:
        return _fault(what, error)


def _model(model: llmrec.models.KnownModel) -> tuple[State, str]:
    if not model.cached:
        return "note", model.where
    # Of what is in the cache this compares every file with its sha256; it fetches nothing then.
    llmrec.models.resolve(model.name, model.kind)
    return "ok", model.where


def _counts(rec: llmrec.Recommender) -> tuple[State, str]:
    counts = rec.store.counts()
    return "ok" if counts["items"] else "note", ", ".join(f"{number} {name}" for name, number in counts.items())


def _release(rec: llmrec.Recommender) -> tuple[State, str]:
    release = rec.releases.champion()
    if release is None:
        return "note", "none yet: run `llmrec fit`"
    for part in release.manifest["files"]:
        release.read(part)
    release.require("prompt", rec.prompt)
    return "ok", f"{release.version} is live, every file as its manifest says"


def _index(rec: llmrec.Recommender) -> tuple[State, str]:
    from llmrec.retrieval.index import ItemIndex

    stored = {item.item_id for item in rec.items()}
    if not stored:
        return "note", "the catalogue is empty: add items with `llmrec import --items FILE`"
    release = rec.releases.champion()
    try:
        index = ItemIndex.read(rec.workspace.index, encoder=release.manifest.get("text_encoder") if release else None)
    except FileNotFoundError:
        return "note", "none yet: `llmrec fit` makes it"
    strange = len(stored.symmetric_difference(index.items.item_ids))
    if strange:
        return "note", f"{strange} items differ from the store's; the next fit or request brings it up to date"
    return "ok", f"{len(index)} vectors of {index.dimension} dimensions, of the items in the store"


def _fault(what: str, error: LlmrecError) -> Finding:
    return Finding(what, "fault", f"{error}; next step: {error.hint}")
