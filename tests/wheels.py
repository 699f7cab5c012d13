"""Tiny wheels, and ways to let them be found: tests of what is fetched need no package index."""

from __future__ import annotations

import hashlib
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest


@dataclass(frozen=True)
class Wheel:
    project: str
    version: str
    path: Path
    sha256: str

    @property
    def pin(self) -> tuple[str, str, str]:
        return self.project, self.version, self.sha256

    def serve(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Let pip find it, and nothing else."""
        monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null")
        monkeypatch.setenv("PIP_NO_INDEX", "1")
        monkeypatch.setenv("PIP_FIND_LINKS", str(self.path.parent))


def make_wheel(directory: Path, project: str, files: Mapping[str, bytes], version: str = "1.0") -> Wheel:
    name = project.replace("-", "_")
    path = directory / f"{name}-{version}-py3-none-any.whl"
    about = f"{name}-{version}.dist-info"
    metadata = {
        f"{about}/METADATA": f"Metadata-Version: 2.1\nName: {project}\nVersion: {version}\n".encode(),
        f"{about}/WHEEL": b"Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        f"{about}/RECORD": b"",
    }
    directory.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(path, "w") as archive:
        for member, content in {**files, **metadata}.items():
            archive.writestr(member, content)
    return Wheel(project, version, path, hashlib.sha256(path.read_bytes()).hexdigest())
