"""Every error llmrec raises on purpose.

    LlmrecError
    ├── ConfigError          a setting is unknown, missing or out of range
    ├── WorkspaceError       the directory is not a workspace, or already is one
    ├── NotFittedError       a recommendation was asked for before `fit`
    ├── BusyError            another process holds the workspace lock (retryable)
    ├── OverloadedError      the server has more to do than it can (retryable)
    ├── DataError            input that cannot be taken as it is
    │   ├── ImportRefused    rows of an import are bad; carries them as `.rows`
    │   ├── EmptyCatalogueError
    │   ├── UnknownItemError
    │   ├── NothingNewError  there is nothing to learn that was not learnt before
    │   └── ConflictError    an id is taken by different content
    ├── StoreError           the database cannot be read or written
    ├── SourceError          weights or data cannot be fetched or fail their checksum
    ├── ModelError           a model cannot be loaded or cannot do what is asked
    │   └── ScoringError     the model failed on this request; the caller falls back
    ├── PromptError          a template is missing, malformed or wants unknown variables
    ├── ReleaseError         a release is missing, damaged or made for other parts
    └── MissingExtraError    an optional dependency is not installed

Each carries a `hint` that names the next step; `str(error)` is the message alone, a traceback shows both.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

__all__ = [
    "BusyError",
    "ConfigError",
    "ConflictError",
    "DataError",
    "EmptyCatalogueError",
    "ImportRefused",
    "LlmrecError",
    "MissingExtraError",
    "ModelError",
    "NotFittedError",
    "NothingNewError",
    "OverloadedError",
    "PromptError",
    "ReleaseError",
    "RowError",
    "ScoringError",
    "SourceError",
    "StoreError",
    "UnknownItemError",
    "WorkspaceError",
]


class LlmrecError(Exception):
    """Base of all expected errors: what went wrong, and in `hint` what to do next."""

    retryable: ClassVar[bool] = False

    def __init__(self, message: str, *, hint: str) -> None:
        super().__init__(message)
        self.hint = hint
        self.add_note(f"hint: {hint}")


class ConfigError(LlmrecError):
    """A setting is unknown, missing or out of range."""


class WorkspaceError(LlmrecError):
    """The directory is not a workspace, or already is one."""


class NotFittedError(LlmrecError):
    """The workspace has no release yet."""


class BusyError(LlmrecError):
    """Another process holds the lock; the same call may succeed later."""

    retryable = True


class OverloadedError(LlmrecError):
    """The server has more to do than it can, or the caller asks more often than allowed.

    Args:
        message: What is too much.
        retry_after: Seconds after which the same call may succeed.
    """

    retryable = True

    def __init__(self, message: str, *, hint: str, retry_after: float) -> None:
        super().__init__(message, hint=hint)
        self.retry_after = retry_after


class DataError(LlmrecError):
    """Input that cannot be taken as it is."""


@dataclass(frozen=True, slots=True)
class RowError:
    """One bad row of an import: where it stands, which value is wrong and why."""

    source: str
    line: int
    field: str
    value: str
    reason: str

    def __str__(self) -> str:
        return f"{self.source}:{self.line}: {self.field} = {self.value}: {self.reason}"


class ImportRefused(DataError):  # noqa: N818 - the refusal is the event, the rows are the errors
    """Rows of an import are bad, so nothing of it was kept.

    Args:
        message: The first bad row, or the reason that no row could be read.
        rows: The bad rows, at most as many as were asked for, in file order.
        total: How many rows are bad in all.
    """

    def __init__(self, message: str, *, hint: str, rows: tuple[RowError, ...] = (), total: int = 0) -> None:
        super().__init__(message, hint=hint)
        self.rows = rows
        self.total = total


class EmptyCatalogueError(DataError):
    """There is no item to recommend."""


class UnknownItemError(DataError):
    """An item id that the store has never seen."""


class NothingNewError(DataError):
    """There is nothing to learn from that was not learnt from before."""


class ConflictError(DataError):
    """An id is already taken by different content."""


class StoreError(LlmrecError):
    """The database cannot be opened, read or written (disk full, wrong schema, no server)."""


class SourceError(LlmrecError):
    """Weights or data cannot be fetched, or what was fetched fails its checksum."""


class ModelError(LlmrecError):
    """A model cannot be loaded, or cannot do what is asked of it."""


class ScoringError(ModelError):
    """The model failed on this request (out of memory, not a number); callers fall back to the retriever's order."""


class PromptError(LlmrecError):
    """A template is missing, malformed, or declares other variables than its task has."""


class ReleaseError(LlmrecError):
    """A release is missing, damaged, or was made for another base model, encoder or prompt."""


class MissingExtraError(LlmrecError):
    """An optional dependency is not installed."""

    def __init__(self, package: str, *, extra: str, purpose: str) -> None:
        super().__init__(f"{purpose} needs the package {package}", hint=f"pip install 'llmrec[{extra}]'")
