"""Time the scoring of candidates behind a shared prefix against four other ways to do it.

    python scripts/bench_ranking.py --json ranking.json --plot ranking.svg
    python scripts/bench_ranking.py --architecture qwen3-0.6b --dtype bfloat16     # random weights: speed only
    python scripts/bench_ranking.py --adapter adapters/ml-100k/adapter             # only that: bench_adapters.py

Workloads, prefix tokens and candidates of about 24 tokens: S 256 and 20, M 384 and 50, L 512 and 100. Rivals, on the
same weights, number format and threads, each with the best of several batch sizes and computing only the logits that
are needed: `separate`, one prompt for each candidate; `kv_reuse`, the prefix in transformers' key-value cache, the
candidates as a batch behind it; `dense_mask`, one packed sequence under a mask; `cross_encoder`, sentence-transformers'
CrossEncoder on the same backbone (pip install 'llmrec[bench]'). What compares takes turns in one process; ratios are
medians of the rounds' own ratios. `separate` and `cross_encoder` are timed on at most 20 candidates and scaled: their
cost is that of a candidate times their number.

`roofline` is the share of the time that the model's matrix products would take alone, as this machine does them in the
same run.
"""

from __future__ import annotations

import argparse
import copy
import json
import re
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from transformers import AutoModelForCausalLM, DynamicCache, Qwen3Config

from llmrec.errors import ConfigError, LlmrecError
from llmrec.evaluation import describe_environment, require_plots
from llmrec.files import replace_file
from llmrec.models import ModelSource, TransformersLM, attention, choose_device, choose_dtype, flat, resolve
from llmrec.models.loading import load_tokenizer
from llmrec.models.tokens import Tokens
from llmrec.models.tree import Ids, PromptTree, lay_out, pad
from llmrec.service.printing import print_table, say

BASE = "smollm2-135m-instruct"
SCALED = 20
"""Candidates on which the slow rivals are timed."""
STATES = 1 << 30

ARCHITECTURES = {
    "qwen3-0.6b": {"hidden_size": 1024, "intermediate_size": 3072, "num_hidden_layers": 28, "num_attention_heads": 16},
    "qwen3-1.7b": {"hidden_size": 2048, "intermediate_size": 6144, "num_hidden_layers": 28, "num_attention_heads": 16},
    "qwen3-8b": {"hidden_size": 4096, "intermediate_size": 12288, "num_hidden_layers": 36, "num_attention_heads": 32},
    "tiny": {"hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 2, "num_attention_heads": 4},
}
"""Shapes of the published models of these names (Qwen3 technical report, 2025), and one for a smoke run."""

Scores = np.ndarray[Any, np.dtype[np.float32]]


@dataclass(frozen=True, slots=True)
class Workload:
    """Prompts of a size.

    Args:
        prefix: Tokens that all candidates share.
        candidates: How many.
        tokens: Of a candidate, about.
    """

    prefix: int
    candidates: int
    tokens: int = 24


WORKLOADS = {"S": Workload(256, 20), "M": Workload(384, 50), "L": Workload(512, 100)}
HIT = Workload(1024, 20)
SERVED = Workload(120, 10, 180)
"""What SGLang's 1,200 items a second on one H100 were measured with (a model of 0.6B)."""


class Bench:
    """One model and what is asked of it.

    Args:
        model: What is timed.
        tokenizer: Its tokenizer.
    """

    def __init__(self, model: TransformersLM, tokenizer: Any) -> None:
        self.model = model
        self.tokenizer = tokenizer
        self.device = model.model.device
        # Words that are one token wherever they stand, so that as text they are as long as as ids.
        words = {index: tokenizer.decode([index]) for index in range(min(len(tokenizer), 20_000))}
        self.words = [index for index, word in words.items() if re.fullmatch(r" [a-z]{3,}", word)]

    def prompts(self, workload: Workload, seed: int = 0) -> tuple[Ids, list[Ids]]:
        """A prefix and its candidates, ragged."""
        generator = np.random.default_rng(seed)
        third = max(1, workload.tokens // 3)
        lengths = generator.integers(workload.tokens - third, workload.tokens + third + 1, workload.candidates)
        draw = partial(generator.choice, self.words)
        return tuple(draw(workload.prefix).tolist()), [tuple(draw(length).tolist()) for length in lengths]

    def ours(self, prefix: Ids, suffixes: list[Ids]) -> Scores:
        """As a recommendation asks, nothing remembered."""
        self.model._states.clear()
        return self.model.score(prefix, suffixes)

    def remembered(self, prefix: Ids, suffixes: list[Ids]) -> Scores:
        """The same with the prefix known."""
        return self.model.score(prefix, suffixes)

    def dense_mask(self, prefix: Ids, suffixes: list[Ids]) -> Scores:
        """One sequence under a mask."""
        with torch.inference_mode():
            return self.model._reader.read_dense([flat(prefix, suffixes)]).cpu().numpy()

    def separate(self, prefix: Ids, suffixes: list[Ids], batch: int) -> Scores:
        """One prompt for each candidate."""
        prompts = [(*prefix, *suffix) for suffix in suffixes]
        with torch.inference_mode():
            parts = [
                self.model._reader._padded(some, [PromptTree(ids) for ids in some]) for some in batches(prompts, batch)
            ]
        return torch.cat(parts).cpu().numpy()

    def kv_reuse(self, prefix: Ids, suffixes: list[Ids], batch: int) -> Scores:
        """The prefix once, its keys and values repeated for each candidate of a batch."""
        body, readout = self.model.model.base_model, self.model._reader.readout
        scores = []
        with torch.inference_mode():
            known = body(input_ids=self._row(prefix), use_cache=True).past_key_values
            for some in batches(suffixes, batch):
                cache: DynamicCache = copy.deepcopy(known)
                cache.batch_repeat_interleave(len(some))
                ids, mask = (torch.as_tensor(rows, device=self.device) for rows in pad(some))
                whole = torch.cat([torch.ones(len(some), len(prefix), dtype=mask.dtype, device=self.device), mask], 1)
                places = len(prefix) + torch.arange(ids.shape[1], device=self.device).expand(len(some), -1)
                hidden = body(
                    input_ids=ids, attention_mask=whole, position_ids=places, past_key_values=cache
                ).last_hidden_state
                rows = torch.arange(len(some), device=self.device)
                scores.append(readout.odds(hidden[rows, mask.sum(dim=1) - 1]))
        return torch.cat(scores).cpu().numpy()

    def gemm_seconds(self, tokens: int, rounds: int) -> float:
        """What the matrix products of all layers take alone on so many tokens."""
        shapes: dict[tuple[int, int], int] = {}
        for layer in self.model.model.base_model.layers.modules():
            if isinstance(layer, torch.nn.Linear):
                rows, columns = layer.weight.shape
                shapes[rows, columns] = shapes.get((rows, columns), 0) + 1
        return sum(count * self._gemm(tokens, shape, rounds) for shape, count in shapes.items())

    def useful_operations(self, trees: Sequence[PromptTree]) -> float:
        """Multiplications and additions that the layers need for the trees: products with weights, and attention."""
        body, config = self.model.model.base_model, self.model.model.config
        weights = sum(layer.weight.numel() for layer in body.layers.modules() if isinstance(layer, torch.nn.Linear))
        width = config.num_attention_heads * getattr(
            config, "head_dim", config.hidden_size // config.num_attention_heads
        )
        pairs = int(lay_out(trees).allowed.sum())
        return 2.0 * weights * sum(tree.tokens for tree in trees) + 4.0 * width * pairs * config.num_hidden_layers

    def peak(self, rounds: int) -> float:
        """Operations a second of the best that the device does here: one large square matrix product."""
        side = 8192 if self.device.type == "cuda" else 1024
        return 2.0 * side**3 / self._gemm(side, (side, side), rounds)

    def _gemm(self, tokens: int, shape: tuple[int, int], rounds: int) -> float:
        kind = {"dtype": self.model.model.dtype, "device": self.device}
        rows, weight = torch.randn(tokens, shape[1], **kind), torch.randn(shape, **kind)
        with torch.inference_mode():
            return statistics.median(timed(lambda: rows @ weight.T, self.device) for _ in range(2 * rounds + 1))

    def _row(self, ids: Ids) -> torch.Tensor:
        return torch.tensor([ids], device=self.device)


class CrossEncoderRival:
    """sentence-transformers' CrossEncoder on the same backbone, with a new head; it is given texts, as its users do.

    Args:
        source: The backbone.
        bench: Whose prompts it reads.

    Raises:
        ImportError: sentence-transformers is not installed.
    """

    def __init__(self, source: ModelSource, bench: Bench) -> None:
        from sentence_transformers import CrossEncoder

        self._decode = bench.tokenizer.decode
        self._encoder = CrossEncoder(
            str(source.path),
            num_labels=1,
            device=str(bench.device),
            local_files_only=True,
            model_kwargs={"dtype": bench.model.model.dtype},
        )

    def __call__(self, prefix: Ids, suffixes: list[Ids], batch: int) -> Scores:
        """A score for each pair of prefix and candidate."""
        pairs = [(self._decode(prefix), self._decode(suffix)) for suffix in suffixes]
        scores: Scores = self._encoder.predict(pairs, batch_size=batch, show_progress_bar=False)
        return scores


def batches(things: Sequence[Any], size: int) -> Iterator[Sequence[Any]]:
    """Things in groups of at most `size`."""
    return (things[first : first + size] for first in range(0, len(things), size))


def timed(call: Callable[[], object], device: torch.device) -> float:
    """Wall seconds of one call, the device's work included."""
    start = time.perf_counter()
    call()
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter() - start


def best_batch(rival: Callable[[Ids, list[Ids], int], Scores], prefix: Ids, suffixes: list[Ids], bench: Bench) -> int:
    """The batch size that takes least a candidate; each is tried once after a call to warm up."""
    rival(prefix, suffixes[:2], 2)
    tried = {}
    for size in sorted({min(size, len(suffixes)) for size in (4, 10, 25, 50, 100)}):
        part = suffixes[: max(size, min(SCALED, len(suffixes)))]
        tried[size] = timed(partial(rival, prefix, part, size), bench.device) / len(part)
    return min(tried, key=tried.__getitem__)


def compare(bench: Bench, workload: Workload, rounds: int, cross_encoder: CrossEncoderRival | None) -> dict[str, Any]:
    """All ways in turn on one workload."""
    prefix, suffixes = bench.prompts(workload)
    some = suffixes[:SCALED]
    rivals = {"separate": (bench.separate, some), "kv_reuse": (bench.kv_reuse, suffixes)}
    if cross_encoder is not None:
        rivals["cross_encoder"] = (cross_encoder, some)
    sizes = {name: best_batch(rival, prefix, asked, bench) for name, (rival, asked) in rivals.items()}
    calls: dict[str, tuple[Callable[[], Scores], float]] = {
        "ours": (lambda: bench.ours(prefix, suffixes), 1.0),
        "dense_mask": (lambda: bench.dense_mask(prefix, suffixes), 1.0),
    }
    for name, (rival, asked) in rivals.items():
        calls[name] = (partial(rival, prefix, asked, sizes[name]), len(suffixes) / len(asked))
    expected = bench.ours(prefix, suffixes)
    gaps = {
        name: float(np.abs(call() - expected[: len(some) if scale > 1 else None]).max())
        for name, (call, scale) in calls.items()
        if name not in ("ours", "cross_encoder")
    }
    seconds = in_turn({name: call for name, (call, _) in calls.items()}, rounds, bench.device)
    for name, (_, scale) in calls.items():
        seconds[name] = [scale * one for one in seconds[name]]
    tokens = len(prefix) + sum(map(len, suffixes))
    ours = statistics.median(seconds["ours"])
    return {
        "prefix": workload.prefix,
        "candidates": workload.candidates,
        "tokens": tokens,
        "seconds": {name: statistics.median(each) for name, each in seconds.items()},
        "ratios": {name: ratio(each, seconds["ours"]) for name, each in seconds.items() if name != "ours"},
        "batch_sizes": sizes,
        "gaps": gaps,
        "items_per_second": workload.candidates / ours,
        "roofline": bench.gemm_seconds(tokens, rounds) / ours,
    }


def in_turn(calls: dict[str, Callable[[], object]], rounds: int, device: torch.device) -> dict[str, list[float]]:
    """Seconds of each call in each round, one after the other."""
    seconds: dict[str, list[float]] = {name: [] for name in calls}
    for _ in range(rounds):
        for name, call in calls.items():
            seconds[name].append(timed(call, device))
    return seconds


def ratio(one: list[float], other: list[float]) -> float:
    """The median over the rounds of how many times as long."""
    return statistics.median(a / b for a, b in zip(one, other, strict=True))


def prefix_hit(bench: Bench, rounds: int) -> dict[str, float]:
    """A prefix that was read before against one that was not."""
    prefix, suffixes = bench.prompts(HIT)
    bench.ours(prefix, suffixes)
    calls = {"cold": lambda: bench.ours(prefix, suffixes), "hit": lambda: bench.remembered(prefix, suffixes)}
    seconds = in_turn(calls, rounds, bench.device)
    return {name: statistics.median(each) for name, each in seconds.items()} | {
        "ratio": ratio(seconds["cold"], seconds["hit"])
    }


def growth(bench: Bench, rounds: int, largest: int) -> dict[str, Any]:
    """Seconds of ours and of the dense mask as the prefix and the number of candidates grow."""
    sweeps = {
        "prefix": [Workload(size, 50) for size in (64, 128, 256, 512, 1024) if size <= largest],
        "candidates": [Workload(384, count) for count in (5, 10, 25, 50, 100, 200) if count <= largest],
    }
    return {name: [_grown(bench, each, name, rounds) for each in sweep] for name, sweep in sweeps.items()}


def _grown(bench: Bench, workload: Workload, name: str, rounds: int) -> dict[str, float]:
    asked = bench.prompts(workload)
    calls = {"ours": lambda: bench.ours(*asked), "dense_mask": lambda: bench.dense_mask(*asked)}
    seconds = {way: statistics.median(each) for way, each in in_turn(calls, rounds, bench.device).items()}
    return {name: float(getattr(workload, name)), **seconds}


def served(bench: Bench, rounds: int) -> dict[str, float]:
    """Items a second for one user after the other, and for sixteen in a pass; and the share of the device's peak."""
    alone = bench.prompts(SERVED)
    users = [flat(*bench.prompts(SERVED, seed)) for seed in range(16)]

    def together() -> None:
        bench.model._states.clear()
        bench.model.score_trees(users)

    seconds = in_turn({"alone": lambda: bench.ours(*alone), "together": together}, rounds, bench.device)
    useful = bench.useful_operations(users) / statistics.median(seconds["together"])
    return {
        "teraflops_16_users": useful / 1e12,
        "share_of_peak_16_users": useful / bench.peak(rounds),
        "latency_s": statistics.median(seconds["alone"]),
        "items_per_second": SERVED.candidates / statistics.median(seconds["alone"]),
        "items_per_second_16_users": 16 * SERVED.candidates / statistics.median(seconds["together"]),
    }


def load(options: argparse.Namespace) -> tuple[Bench, CrossEncoderRival | None]:
    """The model to time: real weights, or a shape with random ones."""
    source = resolve(BASE, "language-model")
    tokenizer = load_tokenizer(source)
    how: dict[str, Any] = {"batch_tokens": options.batch_tokens, "states_bytes": STATES}
    if options.compile and options.architecture:
        raise ConfigError("a random model is timed as it is", hint="drop --compile, or drop --architecture")
    if options.architecture is not None:
        model = random_model(options.architecture, choose_device(options.device), options.dtype)
        return Bench(TransformersLM(source, model, Tokens(tokenizer), (" Yes", " No"), **how), tokenizer), None
    how |= {"device": options.device, "dtype": options.dtype, "compile": options.compile}
    bench = Bench(TransformersLM.load(source, **how), tokenizer)
    try:
        return bench, CrossEncoderRival(source, bench)
    except ImportError:
        say("without cross_encoder: pip install 'llmrec[bench]'")
        return bench, None


def random_model(name: str, device: torch.device, dtype: Any) -> Any:
    """A model of a published shape with random weights."""
    config = Qwen3Config(**ARCHITECTURES[name], num_key_value_heads=min(8, ARCHITECTURES[name]["num_attention_heads"]))
    with torch.device(device):
        model = AutoModelForCausalLM.from_config(config, dtype=choose_dtype(dtype, device))
    model.set_attn_implementation(attention.NAME)
    return model.eval()


def parser() -> argparse.ArgumentParser:
    """The options."""
    made = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    made.add_argument("--workloads", nargs="+", choices=list(WORKLOADS), default=list(WORKLOADS))
    made.add_argument("--rounds", type=int, default=5)
    made.add_argument("--architecture", choices=list(ARCHITECTURES), help="random weights; else the default model")
    made.add_argument("--device", default="auto")
    made.add_argument("--dtype", choices=["auto", "bfloat16", "float32"], default="auto")
    made.add_argument("--compile", action="store_true", help="compile the model's blocks first")
    made.add_argument("--batch-tokens", type=int, default=4096)
    made.add_argument("--no-growth", action="store_true", help="leave out how cost grows")
    made.add_argument("--largest", type=int, default=1024, help="of the growth's prefixes and numbers of candidates")
    made.add_argument("--adapter", type=Path, metavar="DIR", help="time this LoRA adapter merged and unmerged, no more")
    made.add_argument("--workspace", type=Path, metavar="DIR", help="with --adapter: on the lists of its users")
    made.add_argument("--lists", type=int, default=24, help="with --adapter: on so many")
    made.add_argument("--json", type=Path, metavar="OUT")
    made.add_argument("--plot", type=Path, metavar="OUT", help="an SVG of how cost grows")
    return made


def measure_adapter(options: argparse.Namespace) -> dict[str, Any]:
    """An adapter merged and unmerged, as the JSON has it."""
    from bench_adapters import compare_adapter, lists_of

    source = resolve(BASE, "language-model")
    if options.workspace is not None:
        lists = lists_of(options.workspace, options.lists)
    else:
        model = TransformersLM.load(source, device=options.device, dtype="float32")
        bench = Bench(model, load_tokenizer(source))
        lists = [bench.prompts(WORKLOADS["M"], seed) for seed in range(options.lists)]
    found = compare_adapter(source, options.adapter, lists, device=options.device, batch_tokens=options.batch_tokens)
    return {"model": source.name, "adapter": found, "environment": describe_environment()}


def measure(options: argparse.Namespace) -> dict[str, Any]:
    """Everything, as the JSON has it."""
    if options.adapter is not None:
        return measure_adapter(options)
    bench, cross_encoder = load(options)
    result: dict[str, Any] = {
        "model": options.architecture or bench.model.name,
        "dtype": str(bench.model.model.dtype).removeprefix("torch."),
        "method": bench.model.method,
        "workloads": {
            name: compare(bench, WORKLOADS[name], options.rounds, cross_encoder) for name in options.workloads
        },
        "prefix_hit": prefix_hit(bench, options.rounds),
        "served": served(bench, options.rounds),
        "environment": describe_environment(),
    }
    if not options.no_growth:
        result["growth"] = growth(bench, options.rounds, options.largest)
    if bench.device.type == "cuda":
        result["peak_gib"] = torch.cuda.max_memory_allocated(bench.device) / 2**30
    return result


def report(result: dict[str, Any]) -> None:
    """The tables, on the terminal."""
    if "adapter" in result:
        report_adapter(result["adapter"])
        return
    ways = ["ours", "separate", "kv_reuse", "dense_mask", "cross_encoder"]
    rows = []
    for name, one in result["workloads"].items():
        times = [f"{one['seconds'][way]:.2f} s" if way in one["seconds"] else "-" for way in ways]
        ratios = [f"{one['ratios'][way]:.1f}x" if way in one["ratios"] else "" for way in ways]
        cells = [" ".join(filter(None, pair)) for pair in zip(times, ratios, strict=True)]
        rows.append([name, *cells, f"{one['roofline']:.0%}"])
    print_table(f"{result['model']}, {result['dtype']}", ["", *ways, "roofline"], rows)
    hit, rate = result["prefix_hit"], result["served"]
    say(f"prefix of 1,024 tokens known: {hit['ratio']:.2f} times as fast ({hit['cold']:.2f} s, {hit['hit']:.2f} s)")
    say(
        f"120 + 180 tokens, 10 candidates: {rate['items_per_second']:.0f} items/s for one user, "
        f"{rate['items_per_second_16_users']:.0f} for 16 in a pass ({rate['share_of_peak_16_users']:.0%} of a large "
        f"matrix product's speed); one user waits {rate['latency_s']:.3f} s"
    )


def report_adapter(found: dict[str, Any]) -> None:
    """Merged against unmerged, on the terminal."""
    names = ["seconds", "largest_gap", "mean_gap", "tau"]
    rows = [
        [name, *(f"{each[figure]:.4g}" for figure in names)] for name, each in found.items() if isinstance(each, dict)
    ]
    print_table(f"{found['lists']} lists; scores of a list spread by {found['spread']:.3f}", ["", *names], rows)
    for dtype in ("float32", "bfloat16"):
        say(f"{dtype}: unmerged takes {found[f'{dtype} ratio']:.2f} times as long as merged")


def plot(result: dict[str, Any], path: Path) -> None:
    """How cost grows, as SVG."""
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(1, 2, figsize=(9, 3.5), sharey=True)
    for axis, (name, points) in zip(axes, result["growth"].items(), strict=True):
        for way in ("ours", "dense_mask"):
            axis.plot([one[name] for one in points], [one[way] for one in points], marker="o", label=way)
        axis.set(xlabel={"prefix": "prefix tokens, 50 candidates", "candidates": "candidates, 384 tokens"}[name])
        axis.legend()
    axes[0].set(ylabel="seconds")
    figure.tight_layout()
    figure.savefig(path, format="svg")


def main() -> int:
    """Measure, print and keep."""
    options = parser().parse_args()
    if options.plot:
        require_plots()
    try:
        result = measure(options)
    except LlmrecError as error:
        say(f"{error}\nhint: {error.hint}")
        return 2
    report(result)
    if options.json:
        replace_file(options.json, json.dumps(result, indent=2).encode())
    if options.plot and "growth" in result:
        plot(result, options.plot)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
