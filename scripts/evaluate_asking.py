"""Other ways to put the same candidates to a language model, none of them trained: is the way we ask the best one?

    python scripts/evaluate_asking.py --users 100 --candidates 20 --json asking.json

MovieLens-100K, leave-one-out, the shipped release's candidates. `pointwise`: would the customer take this, Yes or No.
`title`: how likely each title is written behind the history. `letters`: all in one prompt, A to T, which one; asked
twice, forwards and backwards, and averaged (LlamaRec asks so, once). Each alone, and added to the control with the
weight that is best on the other half of the users.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from string import ascii_uppercase

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from llmrec import Recommender
from llmrec.config import Settings
from llmrec.data import fetch_dataset
from llmrec.evaluation import data_from_files
from llmrec.evaluation.protocols import leave_one_out
from llmrec.evaluation.reranking import histories_of
from llmrec.evaluation.uncertainty import paired
from llmrec.models import Segment, TransformersLM, resolve
from llmrec.ranking import PromptLibrary, Ranker, fit_fusion
from llmrec.ranking.fusion import JudgedList
from llmrec.records import Candidate, History
from llmrec.service.evaluating import kept_directory
from llmrec.service.full_stage import FullStage, held_out_workspace, make_measured_release, sampled

Scores = NDArray[np.float64]
HISTORY_TOKENS = 192


class Asker:
    """One language model, asked in three ways."""

    def __init__(self, model: TransformersLM, items: dict[str, object]) -> None:
        self.model = model
        self.items = items
        self.ranker = Ranker(model, PromptLibrary(), history_tokens=HISTORY_TOKENS, attributes=0)

    def pointwise(self, history: History, candidates: Sequence[Candidate]) -> Scores:
        """Log-odds of Yes against No."""
        scores, _ = self.ranker.score(self.ranker.shared(history, self.items), candidates)
        return scores.astype(np.float64)

    def title(self, history: History, candidates: Sequence[Candidate]) -> Scores:
        """Log chance of the title behind the history, less that behind nothing, a token."""
        behind, alone = (self._titles(known, candidates) for known in (history, History()))
        return behind - alone

    def letters(self, history: History, candidates: Sequence[Candidate]) -> Scores:
        """Log chance of an offer's letter, the mean of both orders."""
        forwards = self._letters(history, candidates)
        backwards = self._letters(history, candidates[::-1])[::-1]
        return (forwards + backwards) / 2

    def _titles(self, history: History, candidates: Sequence[Candidate]) -> Scores:
        prompt = [*self._known(history), *self._own("\nNext the customer takes")]
        written = [self._foreign(f" {one.item.title}") for one in candidates]
        found = self.model.log_likelihoods([(prompt, ids) for ids in written])
        return found / np.array([len(ids) + 1 for ids in written])

    def _letters(self, history: History, candidates: Sequence[Candidate]) -> Scores:
        prompt = [*self._known(history), *self._own("\nOffers:")]
        for letter, one in zip(ascii_uppercase, candidates, strict=False):
            prompt += [*self._own(f"\n{letter}. "), *self._foreign(one.item.title)]
        prompt += self._own("\nThe offer that the customer takes next is")
        letters = [self._own(f" {letter}") for letter in ascii_uppercase[: len(candidates)]]
        return self.model.log_likelihoods([(prompt, ids) for ids in letters])

    def _known(self, history: History) -> list[int]:
        shared = self.ranker.shared(history, self.items)
        return [index for part in (shared.head, *shared.lines) for index in part]

    def _own(self, text: str) -> list[int]:
        return self.model.tokenize(Segment(text, trusted=True))

    def _foreign(self, text: str) -> list[int]:
        return self.model.cap(text, 32)[0]


def measure(rec: Recommender, histories: Sequence[History], targets: Sequence[str], k: int) -> dict[str, object]:
    """N@10 of the control, of each way alone, and of both, on lists that hold the target."""
    retriever, _ = rec.answering()
    items = rec.catalogue().items
    model = TransformersLM.load(resolve("smollm2-135m-instruct", "language-model"))
    asker = Asker(model, items)
    ways: dict[str, Callable[[History, Sequence[Candidate]], Scores]] = {
        "pointwise": asker.pointwise, "title": asker.title, "letters": asker.letters,
    }  # fmt: skip
    lists: dict[str, list[JudgedList]] = {name: [] for name in ways}
    for history, target in tqdm(list(zip(histories, targets, strict=True))):
        found = retriever.retrieve(history, k, excluded=history.seen - {target}).candidates
        taken = next((place for place, one in enumerate(found) if one.item.item_id == target), None)
        if taken is None:
            continue
        control = np.array([one.score for one in found])
        for name, ask in ways.items():
            lists[name].append(JudgedList(control, ask(history, found), taken))
    return {"users": len(histories), "lists": len(lists["pointwise"]), **_compared(lists, len(histories))}


def _compared(lists: dict[str, list[JudgedList]], users: int) -> dict[str, object]:
    control = np.array([_ndcg(one.retrieval, one.taken) for one in lists["pointwise"]])
    report: dict[str, object] = {"control": float(control.sum() / users)}
    for name, judged in lists.items():
        alone = np.array([_ndcg(one.llm, one.taken) for one in judged])
        both = np.zeros(len(judged))
        halves = [judged[0::2], judged[1::2]]
        for half in (0, 1):
            weights = fit_fusion(halves[1 - half], halves[1 - half], requests=len(judged), prior_retrieval=1.0)
            both[half::2] = [
                _ndcg(weights.retrieval_weight * one.retrieval + weights.llm_weight * one.llm, one.taken)
                for one in halves[half]
            ]
        (gain,) = paired(both[:, None], control[:, None])
        report[name] = {
            "alone": float(alone.sum() / users), "with_control": float(both.sum() / users), "gain": gain.to_dict(),
        }  # fmt: skip
    return report


def _ndcg(scores: Scores, taken: int) -> float:
    place = int((scores > scores[taken]).sum())
    return 1 / np.log2(place + 2) if place < 10 else 0.0


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--users", type=int, default=100)
    parser.add_argument("--candidates", type=int, default=20)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    if not 2 <= options.candidates <= len(ascii_uppercase):
        parser.error("--candidates must be from 2 to 26: each has a letter")
    folder = fetch_dataset("ml-100k")
    data = data_from_files("MovieLens-100K", folder, folder, folder).by_id()
    release = Path(__file__).parents[1] / "adapters" / "ml-100k"
    stage = FullStage(Settings.load(Path("none"), {"ranking": {"attributes": 0}}), kept_directory(), release)
    split = sampled(leave_one_out(data.interactions), options.users)
    with held_out_workspace(data, split, stage) as rec:
        if rec.releases.champion() is None:
            make_measured_release(rec, stage)
        users = {user.user_id: user for user in data.users}
        histories = list(histories_of(split.requests, split.interactions, users, longest=500))
        targets = [data.interactions.item_ids[row] for row in split.targets.rows]
        report = measure(rec, histories, targets, options.candidates)
    text = json.dumps(report, indent=2)
    print(text)
    if options.json:
        options.json.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
