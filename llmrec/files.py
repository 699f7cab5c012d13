"""Writing files so that a reader sees the old one or the new one, and a refusal names the next step."""

from __future__ import annotations

import errno
import os
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from llmrec.errors import StoreError

__all__ = ["replace_file", "writing"]


def replace_file(path: Path, data: bytes, *, mode: int = 0o666) -> None:
    """Write a file beside the old one, flush it to the disk, and put it in its place.

    Args:
        path: The file.
        data: All of it.
        mode: Who may read and write it, less what the process's umask forbids.
    """
    temporary = path.with_name(f"{path.name}.{uuid.uuid4().hex}.tmp")  # threads of one process write too
    try:
        with open(temporary, "wb", opener=lambda name, flags: os.open(name, flags, mode)) as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Turn the operating system's refusals to write below `path` into errors.

    Raises:
        StoreError: The disk is full, or the path cannot be written.
    """
    try:
        yield
    except OSError as error:
        hint = "free some space and run the same command again; nothing was half-written"
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            hint = f"check that {path} exists and that you may write there"
        raise StoreError(f"cannot write below {path}: {error.strerror or error}", hint=hint) from error
