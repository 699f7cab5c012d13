"""The training benchmark runs, on a model so small that nothing is learnt from its figures."""

import json
import sys
from pathlib import Path

import pytest

from tests.tiny import tiny_base

__all__ = ["tiny_base"]

SCRIPTS = Path(__file__).parents[1] / "scripts"


def test_packed_lists_have_the_loss_of_separate_prompts(
    tiny_base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(SCRIPTS)
    import bench_training

    monkeypatch.setattr(bench_training, "VOCABULARY", (5, 300))
    out = tmp_path / "out.json"
    options = ["--model", str(tiny_base), "--rounds", "1", "--prefix", "100", "--tokens", "6", "--dtype", "float32"]
    monkeypatch.setattr(sys, "argv", ["bench", "--device", "cpu", *options, "--json", str(out)])
    assert bench_training.main() == 0
    found = json.loads(out.read_text())
    assert found["loss_gap"] < 1e-4
    assert found["ideal"]["chain"] > found["ideal"]["packed"] > 3
    assert set(found["ratios"]) == set(found["ideal"])
