"""The benchmarks run, on models so small that nothing is learnt from their figures."""

import json
import sys
from pathlib import Path

import pytest

SCRIPTS = Path(__file__).parents[1] / "scripts"


@pytest.fixture
def bench_ranking(monkeypatch: pytest.MonkeyPatch):  # type: ignore[no-untyped-def]
    monkeypatch.syspath_prepend(SCRIPTS)
    import bench_ranking

    return bench_ranking


def test_ours_and_its_rivals_give_the_same_scores(  # type: ignore[no-untyped-def]
    bench_ranking, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out, plot = tmp_path / "out.json", tmp_path / "out.svg"
    options = ["--architecture", "tiny", "--rounds", "1", "--workloads", "S", "--largest", "64"]
    monkeypatch.setattr(sys, "argv", ["bench", *options, "--json", str(out), "--plot", str(plot)])
    assert bench_ranking.main() == 0
    result = json.loads(out.read_text())
    workload = result["workloads"]["S"]
    assert result["method"] == "tree"
    assert set(workload["gaps"]) == {"dense_mask", "separate", "kv_reuse"}
    assert max(workload["gaps"].values()) < 1e-4
    assert set(workload["ratios"]) == {"dense_mask", "separate", "kv_reuse"}
    assert min(workload["ratios"].values()) > 0
    assert [point["prefix"] for point in result["growth"]["prefix"]] == [64]
    assert "<svg" in plot.read_text()


def test_the_cross_encoder_reads_the_same_prompts(bench_ranking) -> None:  # type: ignore[no-untyped-def]
    pytest.importorskip("sentence_transformers")
    options = bench_ranking.parser().parse_args([])
    bench, rival = bench_ranking.load(options)
    assert rival is not None
    prefix, suffixes = bench.prompts(bench_ranking.Workload(20, 3, 6))
    lengths = [len(rival._encoder.tokenizer(bench.tokenizer.decode(ids))["input_ids"]) for ids in (prefix, *suffixes)]
    assert lengths == [len(prefix), *map(len, suffixes)]
    assert rival(prefix, suffixes, 2).shape == (3,)
