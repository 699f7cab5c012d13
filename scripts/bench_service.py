"""Load a running service as many people at once would, and time what they get.

    python scripts/bench_service.py -w demo-ml-100k --json service.json        # about three minutes
    python scripts/bench_service.py -w demo-ml-100k --seconds 5                # a smoke run

Works on a copy of the workspace, served by `llmrec serve` in a process of its own. Three parts:

- `alone`: one client at a time asks a mix of recommend, feedback, why and chat: the capacity.
- `crowd`: sixteen clients ask the same mix at once, while another release is promoted. What is not answered must be a
  429 or 503 with Retry-After, which the clients obey; every acknowledged event must be stored once; memory stays flat.
- `steady`: 50 lists a second without the language model; the server's own cost is what an answer took less what the
  recommender says it took.

Clients and server share the machine.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import re
import shutil
import subprocess
import sys
import tempfile
import threading
import time
import uuid
from collections import defaultdict
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx2
import numpy as np

from llmrec import Recommender
from llmrec.evaluation.description import describe_environment
from llmrec.files import replace_file
from llmrec.service.printing import print_table, say

CLIENTS = 16
RATE = 50
MIX = ("recommend",) * 5 + ("feedback",) * 3 + ("why", "chat")
SAID = ("recommend something", "no horror please", "something newer", "why the first one?", "undo", "more")


@dataclass
class Seen:
    """What clients saw; each client has its own, so nothing is locked."""

    seconds: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    later: int = 0
    failed: list[str] = field(default_factory=list)
    events: set[str] = field(default_factory=set)
    releases: set[str] = field(default_factory=set)
    own: list[float] = field(default_factory=list)


def main() -> int:
    """Run once."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--workspace", "-w", type=Path, required=True, help="a fitted workspace, such as the demo's")
    parser.add_argument("--seconds", type=float, default=60.0, help="of each part (%(default)s)")
    parser.add_argument("--clients", type=int, default=CLIENTS)
    parser.add_argument("--json", type=Path, metavar="OUT")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as home:
        copy = Path(home) / "workspace"
        shutil.copytree(options.workspace, copy, ignore=shutil.ignore_patterns(".lock", ".running", "training"))
        with Recommender.open(copy) as rec:
            if rec.settings.store.url.get_secret_value():
                parser.error("the events would go into the database that store.url names: unset it")
            users = [user.user_id for _, user in zip(range(500), rec.users(), strict=False)]
            items = [item.item_id for _, item in zip(range(500), rec.items(), strict=False)]
        say("… one client at a time")
        with serving(copy) as (address, _):
            ask_mix(address, users, items, seconds=3.0, clients=1)  # the first requests load what is loaded once
            alone = summary(*timed(address, users, items, options.seconds, 1))
        say(f"… {options.clients} clients at once")
        crowd = crowded(copy, users, items, options.seconds, options.clients)
        say(f"… {RATE} lists a second without the language model")
        with serving(copy, LLMREC_RANKING__ENABLED="false") as (address, _):
            ask_steadily(address, users, 2.0)
            steady = steady_summary(ask_steadily(address, users, options.seconds))
    crowd["goodput_of_capacity"] = worth(crowd, alone) / worth(alone, alone)
    report = {"environment": describe_environment(), "alone": alone, "crowd": crowd, "steady": steady}
    show(report)
    if options.json:
        replace_file(options.json, json.dumps(report, indent=2).encode())
    return 1 if crowd["failed"] or crowd["events_lost"] or crowd["events_doubled"] else 0


def worth(part: dict[str, Any], alone: dict[str, Any]) -> float:
    """What was answered in a second, in seconds that it takes alone: a reason is worth more than a list."""
    times = {kind: one["mean"] for kind, one in alone["milliseconds"].items()}
    counts = {kind: one["count"] for kind, one in part["milliseconds"].items() if kind in times}
    return sum(count * times[kind] for kind, count in counts.items()) / 1000 / part["seconds"]


def crowded(copy: Path, users: list[str], items: list[str], seconds: float, clients: int) -> dict[str, Any]:
    """Many clients at once, releases promoted amid them, and what became of their events."""
    with Recommender.open(copy) as rec, serving(copy) as (address, process):
        ask_mix(address, users, items, seconds=3.0, clients=2)
        memory = [resident(process)]
        promoting = threading.Timer(seconds / 2, lambda: promote_another(rec))
        promoting.start()
        seen, taken = timed(address, users, items, seconds, clients)
        promoting.join()
        memory.append(resident(process))
        sent = set().union(*(one.events for one in seen))
        stored = [event.event_id for user in users for event in rec.store.events(user) if event.event_id in sent]
    return {
        **summary(seen, taken),
        "clients": clients,
        "releases": sorted(set().union(*(one.releases for one in seen))),
        "events_acknowledged": len(sent),
        "events_lost": len(sent - set(stored)),
        "events_doubled": len(stored) - len(set(stored)),
        "megabytes": memory,
    }


def promote_another(rec: Recommender) -> None:
    """Make a copy of the live release live, as a retraining would make another one."""
    champion = rec.releases.champion()
    assert champion is not None
    rec.install(champion.directory)


@contextmanager
def serving(workspace: Path, **variables: str) -> Iterator[tuple[str, subprocess.Popen[str]]]:
    """`llmrec serve` until the block ends; gives its address and process."""
    environment = {**os.environ, "LLMREC_SERVICE__REQUESTS_A_MINUTE": "0", **variables}
    command = [sys.executable, "-m", "llmrec", "serve", "-w", str(workspace), "--port", "0"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=environment) as process:  # noqa: S603
        assert process.stderr is not None
        address = next((found[1] for line in process.stderr if (found := re.search(r"(http://\S+)", line))), None)
        drain = threading.Thread(target=lambda: [None for _ in process.stderr or ()], daemon=True)
        drain.start()
        try:
            if address is None:
                raise SystemExit("the service did not start; try `llmrec serve` to see why")
            yield address, process
        finally:
            process.terminate()
            process.wait(60)
            drain.join()


def ask_mix(address: str, users: list[str], items: list[str], *, seconds: float, clients: int) -> list[Seen]:
    """Clients that ask one thing after the other until the time is over."""
    end, seen = time.monotonic() + seconds, [Seen() for _ in range(clients)]
    threads = [
        threading.Thread(target=ask_until, args=(address, (users, items), end, place, one))
        for place, one in enumerate(seen)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return seen


def timed(address: str, users: list[str], items: list[str], seconds: float, clients: int) -> tuple[list[Seen], float]:
    """What clients saw, and how long it took until the last one had its answer."""
    start = time.monotonic()
    return ask_mix(address, users, items, seconds=seconds, clients=clients), time.monotonic() - start


def ask_until(address: str, known: tuple[list[str], list[str]], end: float, seed: int, seen: Seen) -> None:
    """One client, who draws from the known users and items."""
    draw = random.Random(seed)  # noqa: S311
    with httpx2.Client(base_url=address, timeout=120, trust_env=False) as http:
        while time.monotonic() < end:
            kind, user, item = draw.choice(MIX), *map(draw.choice, known)
            path, body = asked(kind, user, item, draw)
            start = time.perf_counter()
            try:
                answer = http.post(path, json=body)
            except httpx2.HTTPError as error:
                seen.failed.append(f"{kind}: {error!r}")
                continue
            taken = time.perf_counter() - start
            if answer.status_code in (429, 503) and "retry-after" in answer.headers:
                seen.later += 1
                time.sleep(min(float(answer.headers["retry-after"]), max(0.0, end - time.monotonic())))
            elif answer.status_code != 200:
                seen.failed.append(f"{kind}: {answer.status_code} {answer.text[:200]}")
            else:
                note(kind, body, answer.json(), taken, seen)


def note(kind: str, body: dict[str, Any], answer: dict[str, Any], taken: float, seen: Seen) -> None:
    """Keep what an answer says."""
    seen.seconds[kind].append(taken)
    if kind == "feedback":
        seen.events.add(body["event_id"])
    if kind == "recommend":
        seen.releases.add(answer["release"])


def asked(kind: str, user: str, item: str, draw: random.Random) -> tuple[str, dict[str, Any]]:
    """Where to ask, and what."""
    if kind == "feedback":
        event = {"item_id": item, "kind": "view", "event_id": uuid.uuid4().hex}
        return "/v1/feedback", {"user_id": user, **event}
    if kind == "why":
        return "/v1/explain", {"user_id": user, "item_id": item}
    if kind == "chat":
        return "/v1/chat", {"user_id": user, "message": draw.choice(SAID), "stream": False}
    return "/v1/recommend", {"user_id": user}


def ask_steadily(address: str, users: list[str], seconds: float) -> Seen:
    """Lists at even times, however long the ones before take."""
    places, seen, lock = iter(range(int(RATE * seconds))), Seen(), threading.Lock()
    # To make a client takes longer than to answer one, and here both share the processor.
    clients = [httpx2.Client(base_url=address, timeout=30, trust_env=False) for _ in range(CLIENTS)]
    for one in clients:
        one.get("/health/live")
    begin = time.monotonic() + 0.2

    def ask(http: httpx2.Client) -> None:
        with closing(http):
            while True:
                with lock:
                    place = next(places, None)
                if place is None:
                    return
                time.sleep(max(0.0, begin + place / RATE - time.monotonic()))
                start = time.perf_counter()
                answer = http.post("/v1/recommend", json={"user_id": users[place % len(users)]})
                taken = time.perf_counter() - start
                if answer.status_code != 200:
                    seen.failed.append(answer.text[:200])
                    continue
                seen.seconds["recommend"].append(taken)
                seen.own.append(taken - sum(answer.json()["trace"]["seconds"].values()))

    threads = [threading.Thread(target=ask, args=(one,)) for one in clients]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return seen


def summary(seen: list[Seen], seconds: float) -> dict[str, Any]:
    """Over all clients."""
    taken: dict[str, list[float]] = defaultdict(list)
    for one in seen:
        for kind, values in one.seconds.items():
            taken[kind] += values
    return {
        "seconds": seconds,
        "answers_per_second": sum(map(len, taken.values())) / seconds,
        "milliseconds": {kind: percentiles(values) for kind, values in sorted(taken.items())},
        "asked_to_come_later": sum(one.later for one in seen),
        "failed": [text for one in seen for text in one.failed],
    }


def steady_summary(seen: Seen) -> dict[str, Any]:
    """Of the lists at even times."""
    return {
        "rate": RATE,
        "milliseconds": percentiles(seen.seconds["recommend"]),
        "own_milliseconds": percentiles(seen.own),
        "failed": seen.failed,
    }


def percentiles(seconds: list[float]) -> dict[str, float]:
    """p50, p95 and p99, in milliseconds, and of how many."""
    found = np.percentile(np.array(seconds or [float("nan")]) * 1000, [50, 95, 99])
    mean = float(np.mean(seconds) * 1000) if seconds else float("nan")
    return {**dict(zip(("p50", "p95", "p99"), map(float, found), strict=True)), "mean": mean, "count": len(seconds)}


def resident(process: subprocess.Popen[str]) -> float:
    """Memory of the server, in MB; 0 where the system does not tell."""
    status = Path(f"/proc/{process.pid}/status")
    found = re.search(r"VmRSS:\s+(\d+)", status.read_text()) if status.exists() else None
    return int(found[1]) / 1024 if found else 0.0


def show(report: dict[str, Any]) -> None:
    """Print what was found."""
    rows = []
    for part in ("alone", "crowd"):
        for kind, times in report[part]["milliseconds"].items():
            rows.append([part, kind, str(times["count"]), *(f"{times[one]:.0f}" for one in ("p50", "p95", "p99"))])
    steady = report["steady"]
    for name, times in (
        ("recommend, no model", steady["milliseconds"]),
        ("of it the server's", steady["own_milliseconds"]),
    ):
        rows.append(["steady", name, str(times["count"]), *(f"{times[one]:.1f}" for one in ("p50", "p95", "p99"))])
    print_table("Milliseconds until the answer", ["part", "asked", "answers", "p50", "p95", "p99"], rows)
    crowd = report["crowd"]
    say(
        f"alone {report['alone']['answers_per_second']:.2f} answers/s, crowd {crowd['answers_per_second']:.2f}/s "
        f"({crowd['goodput_of_capacity']:.0%}), {crowd['asked_to_come_later']} asked to come later, "
        f"{len(crowd['failed'])} failed, {crowd['events_lost']} of {crowd['events_acknowledged']} events lost, "
        f"{crowd['events_doubled']} doubled, memory {crowd['megabytes'][0]:.0f} to {crowd['megabytes'][1]:.0f} MB"
    )
    for failure in crowd["failed"][:5]:
        say(failure)


if __name__ == "__main__":
    sys.exit(main())
