"""Releases: what goes live, one directory each, and the pointer that says which one is.

`<task>/<NNNN>/` holds the parts and a manifest.json that is written last, with the sha256 of every part and of its own
entries; the directory is put together under another name and renamed, so a half-made release is never listed. The
pointer (alias) is a row of the store and moves in one transaction.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import shutil
from bisect import bisect_left
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path, PurePosixPath
from typing import Any

from llmrec.data import ReleaseDeed, ReleaseState, Store
from llmrec.errors import ReleaseError

__all__ = ["Release", "ReleaseStore", "sealed"]

_MANIFEST = "manifest.json"
_SEAL = "sha256"
_logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Release:
    """One release: its version, such as rank/0001, and its manifest."""

    version: str
    directory: Path
    manifest: Mapping[str, Any]

    def part(self, name: str) -> Any:
        """A JSON part, verified as by `read`."""
        return json.loads(self.read(name))

    def read(self, name: str) -> bytes:
        """A part's bytes, after their sha256 was compared with the manifest's.

        Raises:
            ReleaseError: The part is missing or was changed.
        """
        try:
            data = (self.directory / name).read_bytes()
        except OSError as error:
            raise ReleaseError(f"release {self.version} lacks {name}", hint=_REPAIR) from error
        if hashlib.sha256(data).hexdigest() != self.manifest["files"].get(name):
            raise ReleaseError(f"{name} of release {self.version} was changed after it was made", hint=_REPAIR)
        return data

    @property
    def learnt(self) -> int | None:
        """The last event of this store that it may have learnt from; None where it was made of another store's."""
        return None if "made" in self.manifest else int(self.manifest.get("data", {}).get("last_sequence", 0))

    @property
    def learnt_until(self) -> int:
        """The last event of this store that was there when it was made or taken up: newer ones wait to be learnt."""
        return int(self.manifest.get("arrived", 0)) if self.learnt is None else self.learnt

    def may_know(self, sequence: int) -> bool:
        """Whether it may have learnt from an event of this store."""
        if self.learnt is None:  # made elsewhere: what was there when it was taken up may have been there too
            return "arrived" not in self.manifest or sequence <= self.learnt_until
        if sequence > self.learnt:
            return False
        # In order, and searched so: it is asked of every event, and of a flood of new accounts' most are withheld.
        withheld = self.manifest.get("data", {}).get("withheld", ())
        place = bisect_left(withheld, sequence)
        return place == len(withheld) or withheld[place] != sequence

    def made_before(self, moment: datetime | None) -> bool:
        """Whether its making began before a moment; False for None."""
        began = self.manifest.get("began", self.manifest["created"])
        return moment is not None and datetime.fromisoformat(str(began)) < moment

    def to_dict(self, live: str | None, forgotten: datetime | None) -> dict[str, Any]:
        """The JSON form of lists of releases.

        Args:
            live: The version that answers.
            forgotten: When a user was deleted last.
        """
        metrics = dict(self.manifest.get("metrics", {}))
        has_one = any(name.startswith("adapter/") for name in self.manifest.get("files", ()))
        adapter = metrics.get("adapter") if has_one else None
        thumbs = self.manifest.get("data", {}).get("thumbs")
        return {
            "version": self.version,
            "live": self.version == live,
            "created": self.manifest.get("created"),
            "parent": self.manifest.get("parent"),
            "adapter": f"gain {max(adapter['gains']):+.4f}" if adapter else f"{thumbs} thumbs" if thumbs else "",
            "metrics": metrics,
            "learnt_from_deleted": self.made_before(forgotten),
        }

    def folder(self, name: str) -> Path | None:
        """The directory of the parts under `name`, each verified as by `read`; None where there are none."""
        parts = [part for part in self.manifest["files"] if part.startswith(f"{name}/")]
        for part in parts:
            self.read(part)
        return self.directory / name if parts else None

    def require(self, what: str, now: str) -> None:
        """Refuse to go with another encoder, prompt or base model than the release was made with.

        Args:
            what: The manifest's entry; None there fits everything.
            now: What it would be used with.

        Raises:
            ReleaseError: The two differ.
        """
        if self.manifest.get(what, "") not in (None, now):
            raise ReleaseError(
                f"release {self.version} was made with another {what.replace('_', ' ')}",
                hint="run `llmrec fit` to make a release for the present settings, or undo the change"
                + (self._asked_with() if what == "prompt" else ""),
            )

    def _asked_with(self) -> str:
        """The settings that say what the language model is told, as the release was made with them."""
        ranking = self.manifest.get("settings", {}).get("ranking", {})
        told = [f"{name} = {ranking[name]}" for name in _TOLD if name in ranking]
        if ranking:  # releases from before it was a setting were asked for a choice
            told.insert(0, f'ask = "{ranking.get("ask", "choice")}"')
        return f": it was made with {', '.join(told)} in [ranking]" if told else ""


_TOLD = ("attributes", "evidence", "text_tokens", "history_tokens")
_REPAIR = "run `llmrec fit` to make a new release"


class ReleaseStore:
    """The releases of one task in a workspace.

    Args:
        directory: Holds one directory per task.
        store: Keeps the alias.
        task: rank, comment or answer.
    """

    def __init__(self, directory: Path, store: Store, task: str = "rank") -> None:
        self._home = directory / task
        self._store = store
        self._task = task

    def list(self) -> list[Release]:
        """Every finished release, oldest first."""
        paths = sorted(self._home.glob("[0-9]*/" + _MANIFEST)) if self._home.is_dir() else []
        releases = []
        for path in paths:
            if not path.parent.name.isdigit():
                continue  # still being written, or left by a killed process
            try:
                releases.append(self._read(path.parent))
            except ReleaseError as error:
                _logger.warning("left out: %s", error)
        return releases

    def get(self, version: str) -> Release:
        """One release by version.

        Raises:
            ReleaseError: There is none, or its manifest is damaged.
        """
        if not isinstance(version, str) or not version.removeprefix(f"{self._task}/").isdigit():
            raise ReleaseError(f"{version!r} is no version", hint=f"write it like {self._task}/0001")
        return self._read(self._home / version.removeprefix(f"{self._task}/"))

    def live(self) -> str | None:
        """The version that is live, or None before the first."""
        return self._store.aliases.now(self._task)

    def champion(self) -> Release | None:
        """The release that is live, or None before the first."""
        version = self.live()
        return self.get(version) if version else None

    def promote(self, version: str, why: str = "") -> Release:
        """Make a release live; the one before it is remembered for `rollback`.

        Args:
            version: Which.
            why: For the log.

        Raises:
            ReleaseError: There is none, or it is damaged.
        """
        release = self._whole(version)
        self._store.aliases.move(self._task, release.version, why=why)
        return release

    def succeed(self, before: str | None, version: str, why: str = "") -> bool:
        """Make a release live in place of another; False, and nothing changes, where that one is not live any more.

        Args:
            before: The version that is to be live now; None: none is.
            version: Which is to follow it.
            why: For the log.
        """
        return self._store.aliases.move(self._task, self._whole(version).version, expected=before, why=why)

    def rollback(self, why: str = "") -> Release:
        """Make the release live again that was live before; a second call undoes the first.

        Args:
            why: For the log.

        Raises:
            ReleaseError: No other release was live before, it is damaged, or another one went live meanwhile.
        """
        live, previous = self.live(), self._store.aliases.before(self._task)
        if previous is None:
            raise ReleaseError(f"no other release of {self._task} was live before", hint="nothing was changed")
        release = self._whole(previous)
        if not self._store.aliases.move(self._task, previous, expected=live, state="rolled back", why=why):
            raise ReleaseError("another release went live meanwhile", hint="see `llmrec releases`, and decide again")
        return release

    def _whole(self, version: str) -> Release:
        """A release with every part as it was made: what goes live must be able to answer."""
        release = self.get(version)
        for name in release.manifest["files"]:
            release.read(name)
        return release

    def log(self) -> tuple[ReleaseDeed, ...]:
        """What became of each release, when, through whom and why, oldest first."""
        return self._store.release_log.of(self._task)

    def note(self, version: str, state: ReleaseState, why: str) -> None:
        """Add to the log what was found of a release."""
        self._store.release_log.note(self._task, version, state, why)

    def create(
        self,
        parts: Mapping[str, object],
        manifest: Mapping[str, object],
        *,
        state: ReleaseState = "made",
        why: str = "",
    ) -> Release:
        """Write a new release; bytes are kept as they are, other parts as JSON. It is not live until promoted.

        Args:
            parts: By name.
            manifest: What is said of it.
            state: What the log calls that, once the release is whole.
            why: For the log.
        """
        self._home.mkdir(parents=True, exist_ok=True)
        self._sweep()
        name = f"{self._last_number() + 1:04}"
        making = self._home / f"{name}.tmp-{os.getpid()}"
        making.mkdir()
        try:
            files = {part: _write(making / part, content) for part, content in parts.items()}
            entries = {**manifest, "version": f"{self._task}/{name}", "created": datetime.now(UTC).isoformat()}
            _write(making / _MANIFEST, sealed({**entries, "files": files}))
            making.rename(self._home / name)
        except BaseException:
            shutil.rmtree(making, ignore_errors=True)
            raise
        self.note(f"{self._task}/{name}", state, why)
        return self._read(self._home / name)

    def install(self, directory: Path) -> Release:
        """Take up a release that was made elsewhere, after every part was compared with its manifest.

        Args:
            directory: Holds the parts and manifest.json, such as adapters/ml-100k.

        Raises:
            ReleaseError: It is no release, or a part is missing or was changed.
        """
        try:
            manifest = json.loads((directory / _MANIFEST).read_text(encoding="utf-8"))
            _refuse_unsealed(manifest, str(manifest["version"]))
            given = Release(str(manifest["version"]), directory, manifest)
            _refuse_strange(manifest["files"], given.version)
            parts = {name: given.read(name) for name in manifest["files"]}
        except (OSError, ValueError, KeyError, TypeError) as error:
            hint = "name a directory such as adapters/ml-100k"
            raise ReleaseError(f"{directory} holds no release: {error}", hint=hint) from error
        kept = {
            name: value
            for name, value in manifest.items()
            if name not in ("version", "created", "files", "arrived", _SEAL)
        }
        arrived = self._store.last_sequence()
        taken_up = {**kept, "parent": None, "made": manifest.get("created"), "arrived": arrived}
        return self.create(parts, taken_up, state="installed", why=str(directory))

    def discard(self, release: Release) -> None:
        """Remove a release that was never live."""
        assert release.version not in (self._store.aliases.now(self._task), self._store.aliases.before(self._task))
        self.note(release.version, "discarded", "it cannot be used here")
        shutil.rmtree(release.directory)

    def _last_number(self) -> int:
        """The highest that a release has or had: what the log says of one must not be said of another."""
        there = [path.name for path in self._home.iterdir()]
        named = [deed.release.removeprefix(f"{self._task}/") for deed in self.log()]
        return max((int(name) for name in (*there, *named) if name.isdigit()), default=0)

    def _sweep(self) -> None:
        """Remove what a killed process left behind; the caller holds the workspace lock."""
        for left in self._home.glob("*.tmp-*"):
            shutil.rmtree(left, ignore_errors=True)

    def _read(self, directory: Path) -> Release:
        version = f"{self._task}/{directory.name}"
        try:
            manifest = json.loads((directory / _MANIFEST).read_text(encoding="utf-8"))
        except FileNotFoundError as error:
            known = ", ".join(path.name for path in sorted(self._home.glob("[0-9]*")) if path.name.isdigit())
            hint = f"releases of {self._task}: {known}" if known else _REPAIR
            raise ReleaseError(f"there is no release {version}", hint=hint) from error
        except (OSError, ValueError) as error:
            raise ReleaseError(f"the manifest of release {version} cannot be read: {error}", hint=_REPAIR) from error
        if not isinstance(manifest, dict) or not isinstance(manifest.get("files"), dict):
            raise ReleaseError(f"the manifest of release {version} is damaged", hint=_REPAIR)
        _refuse_unsealed(manifest, version)
        _refuse_strange(manifest["files"], version)
        return Release(version, directory, manifest)


def sealed(manifest: Mapping[str, Any]) -> dict[str, Any]:
    """A manifest with the sha256 of its other entries, so that a changed one is noticed like a changed part."""
    plain = json.loads(json.dumps(manifest))  # as it will be read
    return {**plain, _SEAL: _digest(plain)}


def _digest(manifest: Mapping[str, Any]) -> str:
    entries = {name: value for name, value in manifest.items() if name != _SEAL}
    return hashlib.sha256(json.dumps(entries, ensure_ascii=False, sort_keys=True).encode()).hexdigest()


def _refuse_unsealed(manifest: Mapping[str, Any], version: str) -> None:
    if _SEAL not in manifest:
        raise ReleaseError(
            f"manifest.json of release {version} has no {_SEAL}: it was changed, or is of an early version of llmrec",
            hint=_REPAIR,
        )
    if manifest[_SEAL] != _digest(manifest):
        raise ReleaseError(f"manifest.json of release {version} was changed after it was made", hint=_REPAIR)


def _refuse_strange(names: Iterable[str], version: str) -> None:
    """A part lies in its release's directory, at most one level down: no name may lead elsewhere."""
    for name in names:
        parts = PurePosixPath(name).parts
        if not 1 <= len(parts) <= 2 or name.startswith(("/", ".")) or ".." in parts or "\\" in name or ":" in name:
            raise ReleaseError(f"release {version} names a part {name!r}, which no release has", hint=_REPAIR)


def _write(path: Path, content: object) -> str:
    path.parent.mkdir(exist_ok=True)
    data = content if isinstance(content, bytes) else json.dumps(content, ensure_ascii=False, indent=1).encode()
    with path.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    return hashlib.sha256(data).hexdigest()
