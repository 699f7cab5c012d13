"""What a report must say so that somebody else can get the same numbers: the data and the machine."""

from __future__ import annotations

import hashlib
import os
import platform
from collections import Counter
from collections.abc import Iterable
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import scipy

import llmrec
from llmrec.evaluation.interactions import Interactions

__all__ = ["describe_data", "describe_environment"]


def describe_data(name: str, interactions: Interactions, files: Iterable[Path | str] = ()) -> dict[str, Any]:
    """What was measured on: its name, its size, and the sha256 of what was read and of what was made of it.

    Files go by their names, and by their paths where two have one name.
    """
    paths = [Path(file) for file in files]
    names = Counter(path.name for path in paths)
    return {
        "name": name,
        "users": len(interactions.user_ids),
        "items": len(interactions.item_ids),
        "events": len(interactions.sequences.rows),
        "rated": interactions.sequences.values is not None,
        "timed": interactions.sequences.times is not None,
        "sha256": interactions.sha256,
        "files": {path.name if names[path.name] == 1 else str(path): _digest(path) for path in paths},
    }


def describe_environment() -> dict[str, Any]:
    """The machine and the libraries that the numbers come from."""
    return {
        "llmrec": llmrec.__version__,
        "python": platform.python_version(),
        "numpy": np.__version__,
        "scipy": scipy.__version__,
        "torch": version("torch"),
        "system": platform.platform(terse=True),
        "processor": _processor(),
        "threads": _threads(),
    }


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _threads() -> int:
    """How many threads the numerical libraries may use at once."""
    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    limit = os.environ.get("OMP_NUM_THREADS", "")
    return min(usable, int(limit)) if limit.isdecimal() and int(limit) else usable


def _processor() -> str:
    """The processor's name; Linux tells it in a file only."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(names, platform.processor() or platform.machine())
