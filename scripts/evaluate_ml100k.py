"""Measure the retriever on MovieLens-100K: leave-one-out, ranked against all items, items already seen masked.

    python scripts/evaluate_ml100k.py --seeds 3 --json ml100k.json --html ml100k.html

One seed takes a few minutes on two cores. Each seed's training goes on from its checkpoint if it was interrupted.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from llmrec.artifacts import cache_dir
from llmrec.data import fetch_dataset
from llmrec.evaluation import (
    Als,
    Ease,
    EncoderSystem,
    EvaluationOptions,
    Popularity,
    System,
    TextOnly,
    describe_data,
    evaluate,
    interactions_from_files,
    leave_one_out,
    read_items,
    report_page,
)
from llmrec.files import replace_file
from llmrec.models import TextEncoder, resolve
from llmrec.retrieval import EncoderConfig, TrainingOptions
from llmrec.service.printing import print_table


def systems(texts: list[str], seeds: int, epochs: int) -> list[System]:
    """The baselines, and one retriever a seed."""
    vectors = TextEncoder.load(resolve("all-minilm-l6-v2", "text-encoder")).encode(texts, progress=True)
    checkpoints = cache_dir() / "training"
    checkpoints.mkdir(parents=True, exist_ok=True)
    retrievers = [
        EncoderSystem(
            vectors,
            EncoderConfig(),
            TrainingOptions(epochs=epochs, seed=seed),
            name="retriever" if seed == 1 else f"retriever-{seed}",
            checkpoint=checkpoints / f"ml100k-{seed}.safetensors",
            progress=True,
        )
        for seed in range(1, seeds + 1)
    ]
    return [Popularity(), Ease(), Als(), TextOnly(vectors), *retrievers]


def main() -> None:
    """Fit, measure, print, and keep the report where asked."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--epochs", type=int, default=TrainingOptions().epochs)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--html", type=Path)
    arguments = parser.parse_args()
    for output in (arguments.json, arguments.html):
        if output:
            output.parent.mkdir(parents=True, exist_ok=True)  # now, not after hours of training
    data = fetch_dataset("ml-100k")
    interactions = interactions_from_files(data, data)
    texts = [item.text for item in read_items(data)]
    report = evaluate(
        leave_one_out(interactions),
        systems(texts, arguments.seeds, arguments.epochs),
        EvaluationOptions(),
        data=describe_data("MovieLens-100K", interactions, sorted(path for path in data.iterdir() if path.is_file())),
        progress=True,
    )
    columns, rows = report.table()
    print_table("MovieLens-100K, leave-one-out", columns, rows)
    if arguments.json:
        replace_file(arguments.json, json.dumps(report.to_dict(), indent=2).encode())
    if arguments.html:
        replace_file(arguments.html, report_page(report).encode())


if __name__ == "__main__":
    main()
