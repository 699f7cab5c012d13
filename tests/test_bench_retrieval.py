"""The benchmark of the request path runs, on a world so small that nothing is learnt from its figures."""

from collections import Counter
from pathlib import Path

import pytest

SCRIPTS = Path(__file__).parents[1] / "scripts"


@pytest.fixture
def bench(monkeypatch: pytest.MonkeyPatch):  # type: ignore[no-untyped-def]
    monkeypatch.syspath_prepend(SCRIPTS)
    import bench_retrieval

    monkeypatch.setattr(bench_retrieval, "HISTORY", 20)
    return bench_retrieval


def test_every_stage_of_a_request_is_timed(bench) -> None:  # type: ignore[no-untyped-def]
    timed = bench.request_path(300, requests=2)
    stages = {name for name in timed if name.startswith("- ")}
    assert {"- read the history", "- encode it", "- search without the seen", "- evidence"} <= stages
    assert {"request", "request, where 1%", "request, where 50%", "request beside a write"} <= set(timed)
    assert all(timing["calls"] == 2 and timing["p50_ms"] > 0 for timing in timed.values())


def test_the_evidence_that_is_timed_has_weights_and_counts(bench) -> None:  # type: ignore[no-untyped-def]
    with bench.world(300, [20]) as made:
        evidence = made.retriever.evidence
        assert evidence.preceded.nnz > 300
        assert evidence.weights[1:].any()


def test_events_follow_zipfs_law(bench) -> None:  # type: ignore[no-untyped-def]
    taken = Counter(event.item_id for event in bench.events({1: [f"u{n}" for n in range(4_000)]}, 100))
    counts = sorted(taken.values(), reverse=True)
    expected = 4_000 / sum(1 / n for n in range(1, 101))
    assert counts[0] == pytest.approx(expected, rel=0.1)
    assert sum(counts[:10]) == pytest.approx(expected * sum(1 / n for n in range(1, 11)), rel=0.1)
