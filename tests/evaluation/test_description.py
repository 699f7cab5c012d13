"""A report says what it was measured on."""

import hashlib
import os
from importlib.metadata import version
from pathlib import Path

import numpy as np
import pytest

import llmrec
from llmrec.evaluation import describe_data, describe_environment
from tests.evaluation.worlds import taken


def test_data_is_described_by_size_and_digests(tmp_path: Path) -> None:
    file = tmp_path / "events.csv"
    file.write_bytes(b"rows")
    found = describe_data("the shop", taken({"ann": "rake pan", "bob": "pan"}), [file])
    assert (found["name"], found["users"], found["items"], found["events"]) == ("the shop", 2, 8, 3)
    assert found["files"] == {"events.csv": hashlib.sha256(b"rows").hexdigest()}
    assert found["timed"]
    assert not found["rated"]
    assert found["sha256"] != describe_data("the shop", taken({"ann": "pan rake", "bob": "pan"}))["sha256"]


def test_two_files_of_one_name_keep_both_digests(tmp_path: Path) -> None:
    files = [tmp_path / folder / "log.csv" for folder in ("may", "june")]
    for file in files:
        file.parent.mkdir()
        file.write_text(file.parent.name)
    assert len(set(describe_data("the shop", taken({"ann": "rake pan"}), files)["files"].values())) == 2


def test_the_environment_names_versions_processor_and_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    free = describe_environment()
    assert free["numpy"] == np.__version__
    assert free["processor"]
    assert free["torch"] == version("torch")
    assert free["llmrec"] == llmrec.__version__
    assert 1 <= free["threads"] <= (os.cpu_count() or 1)
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    assert describe_environment()["threads"] == 1
