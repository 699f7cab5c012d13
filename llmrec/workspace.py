"""A workspace directory: where its parts lie, and the lock that fit, import and retrain hold."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock, Timeout

from llmrec.config import FILE_NAME, Settings
from llmrec.errors import BusyError, WorkspaceError
from llmrec.files import replace_file, writing

__all__ = ["Workspace"]


@dataclass(frozen=True, slots=True)
class Workspace:
    """The files of one recommender."""

    root: Path

    @classmethod
    def new(cls, root: Path) -> Workspace:
        """A directory that is to become a workspace; it is one once its settings are written.

        Raises:
            WorkspaceError: It is a workspace already, or cannot be one.
            StoreError: It cannot be made.
        """
        made = cls(root)
        if made.exists():
            raise WorkspaceError(f"{root} is a workspace already", hint="open it, or choose another directory")
        if root.exists() and not root.is_dir():
            raise WorkspaceError(f"{root} is a file", hint="choose another directory")
        with writing(root):
            root.mkdir(parents=True, exist_ok=True)
        return made

    @classmethod
    def open(cls, root: Path) -> Workspace:
        """An existing workspace.

        Raises:
            WorkspaceError: The directory is none.
        """
        opened = cls(root)
        if not opened.exists():
            raise WorkspaceError(
                f"{root} is not a workspace: it has no {FILE_NAME}",
                hint=f"run `llmrec init {root}`, or name the right directory with -w",
            )
        return opened

    def exists(self) -> bool:
        """Whether the directory is a workspace.

        Raises:
            WorkspaceError: No directory can have such a name.
        """
        try:
            self.settings_file.stat()
        except (FileNotFoundError, NotADirectoryError):
            return False
        except (OSError, ValueError) as error:
            shown = str(self.root)[:60]
            raise WorkspaceError(
                f"{shown!r} cannot be looked into: {error}", hint="choose another directory"
            ) from error
        return True

    def write_settings(self, settings: Settings) -> None:
        """Write llmrec.toml, in which whatever differs from the default is set; only its owner may read a password."""
        with writing(self.root):
            replace_file(self.settings_file, settings.to_toml().encode())
            if settings.store.url.get_secret_value():
                self.settings_file.chmod(0o600)

    @property
    def settings_file(self) -> Path:
        """The commented TOML file."""
        return self.root / FILE_NAME

    @property
    def releases(self) -> Path:
        """One directory per task."""
        return self.root / "releases"

    @property
    def index(self) -> Path:
        """The cache of the FAISS index."""
        return self.root / "index"

    @property
    def comments(self) -> Path:
        """The cache of what comments came to: vectors and numbers, by digests."""
        return self.root / "comments"

    @property
    def reports(self) -> Path:
        """What the gate said of each release."""
        return self.root / "reports"

    @property
    def keys_file(self) -> Path:
        """The hashes of API keys."""
        return self.root / "keys.json"

    @property
    def training(self) -> Path:
        """Checkpoints of a training that was interrupted."""
        return self.root / "training"

    @property
    def prompts(self) -> Path | None:
        """The workspace's own templates, where it has any."""
        own = self.root / "prompts"
        return own if own.is_dir() else None

    def store_url(self, settings: Settings) -> str:
        """Where users, items and events are kept."""
        return settings.store.url.get_secret_value() or f"sqlite:///{(self.root / 'llmrec.db').resolve()}"

    @contextmanager
    def locked(self, purpose: str) -> Iterator[None]:
        """Hold the lock while the block runs; the system frees it if the process dies.

        Raises:
            BusyError: Another process holds it.
        """
        with writing(self.root):
            try:
                held = FileLock(self.root / ".lock").acquire(timeout=0)
            except Timeout as error:
                raise BusyError(
                    f"another fit, import or retrain is running in {self.root}, so this {purpose} did not start",
                    hint="wait until it ends and try again; recommending and feedback go on meanwhile",
                ) from error
        with held, self._told(purpose):
            yield

    def running(self) -> str | None:
        """What holds the lock, such as retrain; None: nothing does.

        A file beside the lock says it, and only where there is one the lock is tried: to try it is to be in the way of
        who wants it just then.
        """
        try:
            told = str(json.loads(self._running.read_text(encoding="utf-8"))["purpose"])
        except (OSError, ValueError, TypeError, KeyError):
            return None
        try:  # the file may be a killed process's: only then is the lock free
            FileLock(self.root / ".lock").acquire(timeout=0).lock.release()
        except Timeout:
            return told
        return None

    @contextmanager
    def _told(self, purpose: str) -> Iterator[None]:
        self._running.write_text(json.dumps({"purpose": purpose}), encoding="utf-8")
        try:
            yield
        finally:
            self._running.unlink(missing_ok=True)

    @property
    def _running(self) -> Path:
        return self.root / ".running"
