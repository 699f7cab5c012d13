"""Time the request path without the language model, compare FAISS's indexes, and show how the cost of a request grows.

    python scripts/bench_retrieval.py --json retrieval.json --plot retrieval.svg
    python scripts/bench_retrieval.py --quick        # a smoke run: up to 10,000 items, few requests

Everything is synthetic. Vectors are drawn from a mixture of Gaussians, because on pure noise every index looks bad;
events by Zipf's law, because of uniform ones hardly any item follows another twice and evidence costs nothing. The
encoder is trained for one epoch only: its answers mean nothing, its cost is that of a good one. Each size runs in a
process of its own, and what is compared takes turns in it. Milliseconds are wall time; `cpu` is the process's, threads
added up, and stands where other work shares the cores.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import resource
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import torch  # noqa: F401 - before faiss, see llmrec/retrieval/index.py
from numpy.typing import NDArray

import faiss  # isort: skip

from llmrec import Event, Item, Recommender
from llmrec.config import OWN_STORE
from llmrec.errors import LlmrecError
from llmrec.evaluation import describe_environment, require_plots
from llmrec.files import replace_file
from llmrec.requests import conditions
from llmrec.retrieval import ColdStart, EncodedSpace, Popularity, Retriever
from llmrec.retrieval.index import inner_products, one_thread
from llmrec.service.printing import print_table, say
from llmrec.serving import encoder_of, evidence_of

Floats = NDArray[np.float32]
Result = dict[str, Any]

START = datetime(2024, 1, 1, tzinfo=UTC)
ITEMS = 10_000
HISTORY = 200
CANDIDATES = 50
ONE_PERCENT, HALF = {"shelf": ["shelf 7"]}, {"even": [True]}
CHANGED = 100
"""How many items are added to and removed from an index."""


@dataclass(frozen=True, slots=True)
class Plan:
    """How much is measured."""

    requests: int = 400
    queries: int = 200
    index_sizes: tuple[int, ...] = (10_000, 100_000, 1_000_000)
    request_sizes: tuple[int, ...] = (1_000, 10_000, 100_000)
    histories: tuple[int, ...] = (10, 50, 100, 200, 500)


QUICK = Plan(requests=40, queries=20, index_sizes=(1_000, 10_000), request_sizes=(1_000, 10_000), histories=(10, 200))


# --- measuring


class Clock:
    """Collects wall and CPU seconds by name."""

    def __init__(self) -> None:
        self.wall: dict[str, list[float]] = defaultdict(list)
        self.cpu: dict[str, list[float]] = defaultdict(list)

    @contextmanager
    def time(self, name: str) -> Iterator[None]:
        """Measure the block."""
        wall, cpu = time.perf_counter(), time.process_time()
        yield
        self.wall[name].append(time.perf_counter() - wall)
        self.cpu[name].append(time.process_time() - cpu)

    def result(self) -> Result:
        """Name -> p50 and p99 of the milliseconds, and the median of the processor's."""
        return {
            name: {
                "p50_ms": float(np.percentile(seconds, 50)) * 1e3,
                "p99_ms": float(np.percentile(seconds, 99)) * 1e3,
                "cpu_ms": float(np.median(self.cpu[name])) * 1e3,
                "calls": len(seconds),
            }
            for name, seconds in self.wall.items()
        }


def alone(function: Callable[..., Result], *arguments: object) -> Result:
    """Call it in a process of its own, so that its memory is its own."""
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as process:
        return process.submit(function, *arguments).result()


def resident_mb() -> float:
    """Memory of this process in MB."""
    return int(Path("/proc/self/statm").read_text(encoding="utf-8").split()[1]) * os.sysconf("SC_PAGE_SIZE") / 1e6


def clustered(count: int, dimension: int, seed: int) -> Floats:
    """Unit vectors [count, dimension] around one centre for every hundred; the centres are the same for every seed."""
    centres = np.random.default_rng(0).normal(size=(max(count // 100, 10), dimension)).astype(np.float32)
    generator = np.random.default_rng(seed)
    vectors = centres[generator.integers(0, len(centres), count)]
    vectors += 0.7 * generator.standard_normal((count, dimension), dtype=np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    return vectors


# --- one: the request path


class SyntheticEncoder:
    """Clustered vectors in place of a text encoder, which no request calls; short, to spare memory at a million."""

    name = fingerprint = "synthetic"
    dimension = 32

    def encode(self, texts: Sequence[str], *, progress: bool = False) -> Floats:  # noqa: ARG002
        """Float32 [len(texts), dimension], whatever the texts are."""
        return clustered(len(texts), self.dimension, seed=1)


@dataclass(frozen=True, slots=True)
class World:
    """A recommender with one release; `retriever` is as its requests ask it, `users` are by length of their history."""

    rec: Recommender
    retriever: Retriever
    users: dict[int, list[str]]
    writer: ThreadPoolExecutor


@contextmanager
def world(items: int, histories: Sequence[int], users: int = 40) -> Iterator[World]:
    """A workspace in a directory that goes away.

    Args:
        items: How many.
        histories: Lengths of histories.
        users: How many have each of them.
    """
    settings: dict[str, Mapping[str, Any]] = {
        "ranking": {"enabled": False},
        "encoder": {"epochs": 1, "minimum_events": 0},
        **OWN_STORE,
    }
    names = {length: [f"u{length}-{number}" for number in range(users)] for length in histories}
    with (
        tempfile.TemporaryDirectory() as directory,
        Recommender.create(Path(directory, "shop"), settings, encoder=SyntheticEncoder()) as rec,
        ThreadPoolExecutor(1) as writer,
    ):
        rec.import_(items=map(item, range(items)), events=events(names, items))
        release = rec.fit(progress=False)
        catalogue, fitted = rec.catalogue(), encoder_of(release)
        assert fitted is not None
        space = EncodedSpace(fitted, catalogue, rec.settings.retrieval.newcomers)
        cold = ColdStart(catalogue, space, Popularity({}), None, half_life=1.0)
        yield World(rec, Retriever(catalogue, space, cold, {}, evidence_of(release)), names, writer)


def item(number: int) -> Item:
    """An item on one of a hundred shelves."""
    return Item(f"i{number}", f"Item {number}", attributes={"shelf": f"shelf {number % 100}", "even": number % 2 == 0})


def events(names: dict[int, list[str]], items: int) -> Iterator[Event]:
    """Ratings of items drawn by Zipf's law (exponent one), which are popular in a random order."""
    generator = np.random.default_rng(2)
    shares = 1 / np.arange(1, items + 1)
    popularity = generator.permutation(shares / shares.sum())
    for length, user_ids in names.items():
        for user_id in user_ids:
            for minute, number in enumerate(generator.choice(items, length, replace=False, p=popularity).tolist()):
                stars, moment = float(number % 5 + 1), START + timedelta(minutes=minute)
                yield Event(user_id, f"i{number}", "rating", stars, timestamp=moment)


def request_path(items: int, requests: int) -> Result:
    """The whole request, plain, with conditions and beside a write, and each of its stages."""
    with world(items, [HISTORY]) as made:
        user_ids = made.users[HISTORY]
        for user_id in user_ids:
            time_request(made, Clock(), user_id)
        clock = Clock()
        for number in range(requests):
            user_id = user_ids[number % len(user_ids)]
            time_request(made, clock, user_id)
            time_stages(made, clock, user_id)
    return clock.result()


def time_request(made: World, clock: Clock, user_id: str) -> None:
    """Requests as a caller makes them, and one while feedback of somebody else is written."""
    with clock.time("request"):
        made.rec.recommend(user_id, llm=False)
    with clock.time("request, where 1%"):
        made.rec.recommend(user_id, llm=False, where=ONE_PERCENT)
    with clock.time("request, where 50%"):
        made.rec.recommend(user_id, llm=False, where=HALF)
    with clock.time("a feedback write"):
        made.rec.feedback(Event("somebody", "i0", "view"))
    written = made.writer.submit(made.rec.feedback, Event("somebody", "i0", "view"))
    with clock.time("request beside a write"):
        made.rec.recommend(user_id, llm=False)
    written.result()


def time_stages(made: World, clock: Clock, user_id: str) -> None:
    """What a request does, one after the other."""
    space, catalogue = made.retriever.space, made.retriever.catalogue
    with clock.time("- read the history"):
        history = made.rec.history(user_id)
    with clock.time("- encode it"):
        query = space.query(history)
    assert query is not None
    with clock.time("- the softmax's denominator"):
        offset = space.offset(query.vector)
    with clock.time("- search without the seen"):
        found = space.index.search(query.vector, CANDIDATES, excluded=history.seen)
    with clock.time("- evidence"):
        made.retriever.rescored([(item_id, score + offset) for item_id, score in found], query)
    for name, where in (("1%", ONE_PERCENT), ("50%", HALF)):
        wanted = conditions(where) or {}
        with clock.time(f"- search where {name}"):
            space.index.search(query.vector, CANDIDATES, among=catalogue.matching(wanted), excluded=history.seen)


# --- two: the kinds of index


def compare_indexes(size: int, dimension: int, queries: int) -> Result:
    """Flat, HNSW and IVF over the same vectors."""
    vectors = clustered(size + CHANGED, dimension, seed=3)
    kinds = {name: build(name, vectors[:size]) for name in ("Flat", "HNSW", "IVF")}
    indexes = {name: index for name, (index, _) in kinds.items()}
    found = search_in_turn(indexes, vectors[:size], clustered(size, dimension, seed=4)[:queries])
    return {
        "size": size,
        "dimension": dimension,
        "kinds": {name: costs | found[name] | change(indexes[name], vectors) for name, (_, costs) in kinds.items()},
        "peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3,
    }


def build(name: str, vectors: Floats) -> tuple[Any, Result]:
    """An index, and what it costs to make and to hold."""
    before, start = resident_mb(), time.perf_counter()
    index = empty_index(name, vectors)
    index.add(vectors)
    costs = {"build_s": time.perf_counter() - start, "resident_mb": resident_mb() - before}
    return index, costs | {"file_mb": faiss.serialize_index(index).nbytes / 1e6}


def empty_index(name: str, vectors: Floats) -> Any:
    """Flat and HNSW as the package has them; IVF with 4 sqrt(n) lists, of which one in 32 is looked at."""
    count, dimension = vectors.shape
    if name == "Flat":
        return faiss.IndexFlatIP(dimension)
    if name == "HNSW":
        return faiss.IndexHNSWFlat(dimension, 32, faiss.METRIC_INNER_PRODUCT)
    lists = int(4 * count**0.5)
    index = faiss.IndexIVFFlat(faiss.IndexFlatIP(dimension), dimension, lists, faiss.METRIC_INNER_PRODUCT)
    index.train(vectors)
    index.nprobe = max(8, lists // 32)
    return index


def parameters(index: Any, selector: Any, met: int = 0) -> Any:
    """How it is searched; a graph looks the further, the more items around the query were met."""
    if isinstance(index, faiss.IndexHNSW):
        return faiss.SearchParametersHNSW(sel=selector, efSearch=max(128, 2 * CANDIDATES + 4 * met))
    if isinstance(index, faiss.IndexIVF):
        return faiss.SearchParametersIVF(sel=selector, nprobe=index.nprobe)
    return faiss.SearchParameters(sel=selector)


def search_in_turn(indexes: dict[str, Any], vectors: Floats, queries: Floats) -> dict[str, Result]:
    """Time and recall of single queries: plain, without the 200 nearest (as if met), and among 1% of the items."""
    allowed = np.flatnonzero(np.arange(len(vectors)) % 100 == 7)
    clocks, recalls = (
        {name: Clock() for name in indexes},
        {name: defaultdict[str, list[float]](list) for name in indexes},
    )
    with one_thread():
        for query in queries:
            order = np.argsort(-inner_products(vectors, query), kind="stable")
            met = order[:HISTORY].copy()
            cases = {
                "plain": (None, 0, order[:CANDIDATES]),
                "200 nearest met": (
                    faiss.IDSelectorNot(faiss.IDSelectorBatch(met)),
                    HISTORY,
                    order[HISTORY:][:CANDIDATES],
                ),
                "1% allowed": (faiss.IDSelectorBatch(allowed), 0, order[order % 100 == 7][:CANDIDATES]),
            }
            for case, (selector, left_out, wanted) in cases.items():
                for name, index in indexes.items():
                    settings = parameters(index, selector, left_out)
                    with clocks[name].time(case):
                        rows = index.search(query[None], CANDIDATES, params=settings)[1][0]
                    recalls[name][case].append(len(np.intersect1d(rows, wanted)) / len(wanted))
    return {
        name: {
            case: timing | {"recall@50": float(np.mean(recalls[name][case]))}
            for case, timing in clocks[name].result().items()
        }
        for name in indexes
    }


def change(index: Any, vectors: Floats) -> Result:
    """Milliseconds to add and to remove a hundred items; None where only a new graph can do it."""
    start = time.perf_counter()
    index.add(vectors[-CHANGED:])
    added = time.perf_counter()
    if isinstance(index, faiss.IndexHNSW):
        return {"add_ms": (added - start) * 1e3, "remove_ms": None}
    index.remove_ids(np.arange(CHANGED))
    return {"add_ms": (added - start) * 1e3, "remove_ms": (time.perf_counter() - added) * 1e3}


# --- three: growth


def growth_with_items(items: int, requests: int) -> Result:
    """The request path at another size of the catalogue."""
    return {"items": items, "events": HISTORY, "stages": request_path(items, requests)}


def growth_with_history(histories: Sequence[int], requests: int) -> Result:
    """The request path for users with longer and longer histories, who take turns."""
    clocks = {length: Clock() for length in histories}
    with world(ITEMS, histories) as made:
        for number in range(requests):
            for length, user_ids in made.users.items():
                user_id = user_ids[number % len(user_ids)]
                time_request(made, clocks[length], user_id)
                time_stages(made, clocks[length], user_id)
    return {"rows": [{"items": ITEMS, "events": n, "stages": clock.result()} for n, clock in clocks.items()]}


def draw(result: Result, path: Path) -> None:
    """Both growths side by side, p50 of the request and its stages."""
    from matplotlib.figure import Figure  # an extra; `main` asked for it before anything was measured

    figure = Figure(figsize=(10, 4), layout="constrained")
    for axes, (of, label) in zip(
        figure.subplots(1, 2), (("items", "items (200 events)"), ("events", "events (10,000 items)")), strict=True
    ):
        rows = result["growth"][of]
        for stage in ("request", "- read the history", "- encode it", "- search without the seen", "- evidence"):
            axes.loglog([row[of] for row in rows], [row["stages"][stage]["p50_ms"] for row in rows], "o-", label=stage)
        axes.set(xlabel=label, ylabel="p50, milliseconds")
        axes.grid(alpha=0.3)
    axes.legend(frameon=False)
    figure.savefig(path)


# --- what is shown


def print_result(result: Result) -> None:
    """The tables."""
    columns = ["", "p50 ms", "p99 ms", "cpu ms", "calls"]
    title = f"One request: {ITEMS:,} items, {HISTORY} events, no language model (wanted: p50 10, p99 30)"
    print_table(title, columns, [timing_row(name, timing) for name, timing in result["request"].items()])
    for compared in result["indexes"]:
        print_indexes(compared)
    for of, rows in result["growth"].items():
        stages = list(rows[0]["stages"])
        cells = [[stage, *(f"{row['stages'][stage]['p50_ms']:.2f}" for row in rows)] for stage in stages]
        print_table(f"p50 milliseconds by {of}", ["", *(f"{row[of]:,}" for row in rows)], cells)


def timing_row(name: str, timing: Result) -> list[str]:
    """A name and its timing."""
    return [name, *(f"{timing[key]:.2f}" for key in ("p50_ms", "p99_ms", "cpu_ms")), str(timing["calls"])]


def print_indexes(compared: Result) -> None:
    """One size of part two: a column for each kind."""
    kinds = compared["kinds"]
    rows = [
        [f"{case}, {what}", *(f"{kind[case][what]:.3f}" for kind in kinds.values())]
        for case in ("plain", "200 nearest met", "1% allowed")
        for what in ("recall@50", "p50_ms", "p99_ms")
    ]
    rows += [
        [name, *("rebuild" if kind[name] is None else f"{kind[name]:.2f}" for kind in kinds.values())]
        for name in ("build_s", "resident_mb", "file_mb", "add_ms", "remove_ms")
    ]
    print_table(f"{compared['size']:,} vectors of {compared['dimension']} numbers", ["", *kinds], rows)


def measure(plan: Plan, dimension: int) -> Result:
    """All three parts."""
    say("one: the request path")
    result: Result = {"environment": describe_environment(), "request": alone(request_path, ITEMS, plan.requests)}
    say("two: the kinds of index")
    result["indexes"] = [alone(compare_indexes, size, dimension, plan.queries) for size in plan.index_sizes]
    say("three: growth")
    by_items = [alone(growth_with_items, size, plan.requests // 4) for size in plan.request_sizes]
    by_history = alone(growth_with_history, plan.histories, plan.requests // 4)["rows"]
    return result | {"growth": {"items": by_items, "events": by_history}}


def main() -> None:
    """Measure, print, and keep the figures and the picture where asked."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="a smoke run")
    parser.add_argument("--dimension", type=int, default=96, help="of the vectors of part two")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--plot", type=Path, help="a picture: .svg, .png or .pdf")
    arguments = parser.parse_args()
    for output in (arguments.json, arguments.plot):
        if output:
            output.parent.mkdir(parents=True, exist_ok=True)  # now, not after the measuring
    if arguments.plot:
        try:
            require_plots()
        except LlmrecError as error:
            parser.error(f"{error}; {error.hint}")
    result = measure(QUICK if arguments.quick else Plan(), arguments.dimension)
    print_result(result)
    if arguments.json:
        replace_file(arguments.json, json.dumps(result, indent=2).encode())
    if arguments.plot:
        draw(result, arguments.plot)


if __name__ == "__main__":
    main()
