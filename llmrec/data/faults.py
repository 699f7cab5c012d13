"""What the errors of a database mean: the driver's words, or its code, to an error with a hint."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import URL
from sqlalchemy.exc import DBAPIError

from llmrec.errors import BusyError, LlmrecError, StoreError

__all__ = ["translated"]


@dataclass(frozen=True, slots=True)
class _Fault:
    """What a driver's words, or its SQLSTATE, mean to us."""

    words: tuple[str, ...]
    states: tuple[str, ...]
    error: type[LlmrecError]
    message: str
    hint: str


_FAULTS = (
    _Fault(
        ("is full", "no space left"),
        ("53100",),
        StoreError,
        "there is no space left on the disk",
        "nothing of this call was kept: free some space, then repeat it",
    ),
    _Fault(
        # What SQLite says of a failing disk, and on some file systems of a full one.
        ("disk i/o error", "input/output error"),
        ("58030",),
        StoreError,
        "the disk cannot be read or written",
        "nothing of this call was kept: check that the disk is whole and has free space, then repeat it",
    ),
    _Fault(
        ("locked",),
        ("55P03", "40001", "40P01"),
        BusyError,
        "another process is writing",
        "try again in a moment",
    ),
    _Fault(
        ("not a database", "malformed", "unsupported file format"),
        (),
        StoreError,
        "the file is not a database, or is damaged",
        "check the path, or restore a backup",
    ),
    _Fault(
        ("readonly", "read-only"),
        ("25006",),
        StoreError,
        "the database is read-only",
        "check the permissions of the file and of its directory",
    ),
    _Fault(
        ("unable to open",),
        (),
        StoreError,
        "the file cannot be opened",
        "check that its directory exists and may be written",
    ),
    _Fault(
        ("already exists",),
        ("42P07",),
        StoreError,
        "tables of the same name are there already",
        "give llmrec a database of its own",
    ),
    _Fault(
        ("connection", "connect", "server closed", "authentication"),
        ("08000", "08001", "08006", "28000", "28P01", "3D000", "53300", "57P01", "57P03"),
        StoreError,
        "the server cannot be reached",
        "check that it runs, and the host, user and database in the URL",
    ),
)
_OTHER = _Fault((), (), StoreError, "the database refused", "see the reason; nothing of this call was kept")


def translated(error: DBAPIError, url: URL) -> LlmrecError:
    """The error to raise instead of a driver's: what it means and what to do, without the password of the URL."""
    reason = str(error.orig).strip().partition("\n")[0]
    if url.password:
        reason = reason.replace(str(url.password), "***")
    state = getattr(error.orig, "sqlstate", None)
    fault = next((fault for fault in _FAULTS if _fits(fault, reason.lower(), state)), _OTHER)
    place = url.database if url.get_backend_name() == "sqlite" else url.render_as_string(hide_password=True)
    return fault.error(f"{place}: {fault.message} ({reason})", hint=fault.hint)


def _fits(fault: _Fault, reason: str, state: str | None) -> bool:
    return state in fault.states or any(word in reason for word in fault.words)
