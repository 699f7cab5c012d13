"""Other ways to put the same candidates to a language model, none of them trained: is the way we ask the best one?

    python scripts/evaluate_asking.py --users 500 --json asking.json
    python scripts/evaluate_asking.py DATA --release DIR --users 500 --json asking.json

MovieLens-100K and the release that comes with llmrec, or a folder as for evaluate_games.py and a release made of it.
`pointwise`: would the customer take it, Yes or No (`[ranking] ask = "choice"`). `title`: how much likelier the history
makes each title (`ask = "title"`). `letters`: all in one prompt, A to T, which one; asked forwards and
backwards, and averaged (LlamaRec asks once). The base is asked, without an adapter. Each stands in the report alone,
and added to the control with the weight that is best on the other half of the users. The model is asked only about
lists that hold the answer: no order of the others finds it. How long each way takes is told as a ratio.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from string import ascii_uppercase

import numpy as np
import torch
from numpy.typing import NDArray
from tqdm import tqdm

from llmrec import Recommender
from llmrec.config import FILE_NAME, Settings
from llmrec.data import fetch_dataset
from llmrec.errors import ConfigError, LlmrecError
from llmrec.evaluation import EvaluationData, Report, data_from_files, data_from_folder
from llmrec.evaluation.description import describe_data
from llmrec.evaluation.measuring import EvaluationOptions, evaluate
from llmrec.evaluation.protocols import Split, leave_one_out
from llmrec.evaluation.reranking import JudgedLists, ListOrder, histories_of, judge_lists
from llmrec.models import Segment, TransformersLM, resolve
from llmrec.models.writing import log_likelihoods
from llmrec.ranking import Ranker, fit_fusion
from llmrec.ranking.fusion import JudgedList
from llmrec.records import Candidate, History, Item
from llmrec.service.evaluating import Outputs, kept_directory
from llmrec.service.full_stage import FullStage, held_out_workspace, make_measured_release, sampled
from llmrec.service.printing import print_error

Scores = NDArray[np.float64]
Way = Callable[[History, Sequence[Candidate]], Scores]
SHIPPED = Path(__file__).parents[1] / "adapters" / "ml-100k"
SETTINGS = {"models": {"dtype": "bfloat16"}, "ranking": {"attributes": 0, "history_tokens": 192}}
TITLE_TOKENS = 32


class Asker:
    """One language model, asked in three ways.

    Args:
        ranker: Writes the prompts, and asks for a choice.
        model: Whom to ask.
        items: The catalogue.
    """

    def __init__(self, ranker: Ranker, model: TransformersLM, items: Mapping[str, Item]) -> None:
        self.model = model
        self.items = items
        self._choice, self._title = ranker.asking(model, "choice"), ranker.asking(model, "title")

    @property
    def ways(self) -> dict[str, Way]:
        """By name."""
        return {
            "pointwise": partial(self._score, self._choice),
            "title": partial(self._score, self._title),
            "letters": self.letters,
        }

    def _score(self, ranker: Ranker, history: History, candidates: Sequence[Candidate]) -> Scores:
        return ranker.score(ranker.shared(history, self.items), candidates)[0].astype(np.float64)

    def letters(self, history: History, candidates: Sequence[Candidate]) -> Scores:
        """Log chance of an offer's letter, the mean of both orders."""
        forwards = self._letters(history, candidates)
        backwards = self._letters(history, candidates[::-1])[::-1]
        return (forwards + backwards) / 2

    def _letters(self, history: History, candidates: Sequence[Candidate]) -> Scores:
        prompt = [*self._known(history), *self._own("\nOffers:")]
        for letter, one in zip(ascii_uppercase, candidates, strict=False):
            prompt += [*self._own(f"\n{letter}. "), *self._foreign(one.item.title)]
        prompt += self._own("\nThe offer that the customer takes next is")
        return self._chances(prompt, [self._own(f" {letter}") for letter in ascii_uppercase[: len(candidates)]])

    def _chances(self, prompt: Sequence[int], written: Sequence[Sequence[int]]) -> Scores:
        """The log chance of each behind the prompt, whatever follows it."""
        begun, _ = self.model.as_text(prompt, ())
        with torch.inference_mode():
            return log_likelihoods(self.model.model, [(begun, ids) for ids in written])

    def _known(self, history: History) -> list[int]:
        shared = self._choice.shared(history, self.items)
        return [index for part in (shared.head, *shared.lines) for index in part]

    def _own(self, text: str) -> list[int]:
        return self.model.tokenize(Segment(text, trusted=True))

    def _foreign(self, text: str) -> list[int]:
        return self.model.cap(text, TITLE_TOKENS)[0]


def report_of(data: EvaluationData, stage: FullStage, candidates: int) -> Report:
    """The control, each way alone, and each added to the control, on the same lists."""
    if not stage.settings.ranking.enabled:
        raise ConfigError("the language model is switched off", hint="set ranking.enabled to true")
    if stage.settings.ranking.evidence or stage.settings.models.chat_template:
        raise ConfigError(
            "all ways are asked with the same words: without [ranking] evidence and [models] chat_template",
            hint="leave both at their defaults here",
        )
    data = data.by_id()
    split = sampled(leave_one_out(data.interactions), stage.users)
    with held_out_workspace(data, split, stage) as rec:
        if rec.releases.champion() is None:
            make_measured_release(rec, stage)
        lists, histories = proposed(rec, data, split, candidates)
        models = stage.settings.models
        source = resolve(models.language_model, "language-model")
        model = TransformersLM.load(source, device=models.device, dtype=models.dtype)
        ranker = rec.answering()[1].ranker
        assert ranker is not None, "the language model is switched on"
        asker = Asker(ranker, model, rec.catalogue().items)
    said, times = what_is_said(asker, histories, lists, split, data.interactions.item_ids)
    systems, notes = [ListOrder("control", lists.rows, lists.control)], [*data.notes, times]
    for name, scores in said.items():
        both, weights = added(lists, scores, split)
        systems += [ListOrder(name, lists.rows, scores), ListOrder(f"{name}+control", lists.rows, both)]
        notes.append(f"{name}: weights of the control and of what is said, by half of the users: {weights}.")
    about = {"candidates": candidates, "asked": "lists that hold the answer"}
    pairs = [(f"{name}+control", "control") for name in said] + [("pointwise", name) for name in list(said)[1:]]
    return evaluate(
        replace(split, protocol={**split.protocol, **about}),
        systems,
        EvaluationOptions((5, 10, 20), groups=data.groups, pairs=pairs, beyond=False),
        data=describe_data(data.name, data.interactions, data.files),
        notes=notes,
    )


def proposed(rec: Recommender, data: EvaluationData, split: Split, k: int) -> tuple[JudgedLists, list[History]]:
    """The k best candidates of each request, and what is known behind it."""
    retriever, fused = rec.answering()
    users = {user.user_id: user for user in data.users}
    longest = rec.settings.retrieval.history_events
    histories = list(histories_of(split.requests, split.interactions, users, longest=longest))
    ids = data.interactions.item_ids
    return judge_lists(retriever, None, fused.fusion, histories, ids, candidates=k), histories


def what_is_said(
    asker: Asker, histories: Sequence[History], lists: JudgedLists, split: Split, item_ids: Sequence[str]
) -> tuple[dict[str, Scores], str]:
    """What each way says of the lists that hold the answer, by name, [n, k], 0 of the others; and how long it took."""
    said = {name: np.zeros(lists.control.shape) for name in asker.ways}
    took: dict[str, list[float]] = {name: [] for name in said}
    holding = (lists.rows == split.targets.rows[:, None]).any(axis=1)
    for place in tqdm(np.flatnonzero(holding), unit=" lists"):
        candidates = [Candidate(asker.items[item_ids[row]], 0.0) for row in lists.rows[place] if row >= 0]
        for name, ask in asker.ways.items():
            began = time.perf_counter()
            said[name][place, : len(candidates)] = ask(histories[place], candidates)
            took[name].append(time.perf_counter() - began)
    return said, _compared(took)


def _compared(took: Mapping[str, Sequence[float]]) -> str:
    """Each way's time on a list over the first way's: a median, which leaves out what only the first lists pay."""
    (first, base), *others = took.items()
    if not base:
        return "no list holds the answer, so nothing was asked."
    ratios = [f"{name} {np.median(np.divide(times, base)):.2f} times" for name, times in others]
    return f"time of a list, over that of {first}: {', '.join(ratios)} (medians of {len(base)} lists)."


def added(lists: JudgedLists, said: Scores, split: Split) -> tuple[Scores, list[tuple[float, float]]]:
    """The control and what is said with the weights that the other half of the users makes likeliest."""
    answers = lists.rows == split.targets.rows[:, None]
    hits = np.flatnonzero(answers.any(axis=1))
    judged = {row: JudgedList(lists.control[row], said[row], int(answers[row].argmax())) for row in hits}
    both, weights = np.zeros(said.shape), []
    for half in (0, 1):
        others = [judged[row] for row in hits if row % 2 != half]
        found = fit_fusion(others, others, requests=len(answers), prior_retrieval=1.0)
        weights.append((round(found.retrieval_weight, 3), round(found.llm_weight, 3)))
        both[half::2] = found.retrieval_weight * lists.control[half::2] + found.llm_weight * said[half::2]
    return both, weights


def data_of(folder: Path | None) -> EvaluationData:
    """MovieLens-100K, or what a folder holds."""
    if folder is not None:
        return data_from_folder(folder.resolve().name, folder)
    fetched = fetch_dataset("ml-100k")
    return data_from_files("MovieLens-100K", fetched, fetched, fetched)


def main() -> int:
    """Ask, measure, print and keep; the exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, nargs="?", metavar="DATA", help="a folder; else MovieLens-100K")
    parser.add_argument("--release", type=Path, metavar="DIR", help="whose candidates; else the shipped one")
    parser.add_argument("--users", type=int, default=100, metavar="N", help="a fixed sample of so many (%(default)s)")
    parser.add_argument("--candidates", type=int, default=20, metavar="K", help="2 to 26 (%(default)s)")
    parser.add_argument("--json", type=Path, metavar="OUT", help="a file, or - for standard output")
    parser.add_argument("--html", type=Path, metavar="OUT", help="one page with plots that needs nothing else")
    options = parser.parse_args()
    if not 2 <= options.candidates <= len(ascii_uppercase):
        parser.error("--candidates must be from 2 to 26: each has a letter")
    if options.data is not None and options.release is None:
        parser.error("DATA needs --release: a release that was made of it without what is foretold")
    try:
        outputs = Outputs(options.json, options.html)
        outputs.check()
        settings = Settings.load(Path(FILE_NAME), defaults=SETTINGS)
        stage = FullStage(settings, kept_directory(), options.release or SHIPPED, users=options.users)
        outputs.keep(report_of(data_of(options.data), stage, options.candidates))
    except LlmrecError as error:
        print_error(error, as_json=False)
        return 2
    except KeyboardInterrupt:
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
