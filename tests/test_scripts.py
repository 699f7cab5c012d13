"""The benchmarks run, on models so small that nothing is learnt from their figures."""

import json
import sys
from pathlib import Path

import pytest

from llmrec.models import resolve
from tests.models.test_adapters import save_adapter
from tests.tiny import tiny_base

__all__ = ["tiny_base"]

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
    # "auto" is bfloat16 on a processor that multiplies it in hardware, where ways to ask differ by its rounding.
    options = ["--architecture", "tiny", "--dtype", "float32", "--rounds", "1", "--workloads", "S", "--largest", "64"]
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
    assert result["served"]["latency_s"] > 0
    assert 0 < result["served"]["share_of_peak_16_users"] < 1.5
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


def test_the_operations_of_a_model_are_counted(bench_ranking) -> None:  # type: ignore[no-untyped-def]
    options = bench_ranking.parser().parse_args(["--architecture", "tiny", "--device", "cpu"])
    bench, _ = bench_ranking.load(options)
    heads, key_heads, wide, inner = 4, 4, 64, 128
    head = bench.model.model.config.head_dim
    weights = 2 * (2 * wide * heads * head + 2 * wide * key_heads * head + 3 * wide * inner)
    tree = bench_ranking.flat((5, 6, 7), [(8,), (9, 10)])
    pairs = 1 + 2 + 3 + 4 + 4 + 5
    assert bench.useful_operations([tree]) == 2 * weights * 6 + 4 * heads * head * pairs * 2


# peft still asks transformers by an old name.
@pytest.mark.filterwarnings("ignore:.is_gradient_checkpointing. is deprecated:FutureWarning")
def test_an_adapter_is_compared_merged_and_unmerged(  # type: ignore[no-untyped-def]
    bench_ranking, tiny_base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    adapter = save_adapter(resolve(str(tiny_base), "language-model"), tmp_path / "adapter", 1)
    monkeypatch.setattr(bench_ranking, "BASE", str(tiny_base))
    monkeypatch.setitem(bench_ranking.WORKLOADS, "M", bench_ranking.Workload(20, 8, 6))
    words = bench_ranking.Bench.prompts

    def prompts(bench, workload, seed=0):  # type: ignore[no-untyped-def]
        bench.words = list(range(5, 300))
        return words(bench, workload, seed)

    monkeypatch.setattr(bench_ranking.Bench, "prompts", prompts)
    options = ["--adapter", str(adapter), "--lists", "2", "--device", "cpu", "--json", str(tmp_path / "out.json")]
    monkeypatch.setattr(sys, "argv", ["bench", *options])
    assert bench_ranking.main() == 0
    found = json.loads((tmp_path / "out.json").read_text())["adapter"]
    assert found["float32 unmerged"]["largest_gap"] == 0
    assert 0 < found["float32 merged"]["largest_gap"] < 1e-4
    assert found["bfloat16 merged"]["largest_gap"] > found["float32 merged"]["largest_gap"]
    assert found["float32 merged"]["tau"] == pytest.approx(1)
    assert found["float32 ratio"] > 0
