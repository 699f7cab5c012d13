"""Check the words of explanations against their evidence, with a checker that shares nothing with llmrec's own.

    python scripts/evaluate_wording.py --explanations 1000 --json wording.json               # the template's words
    python scripts/evaluate_wording.py --explanations 100 --model --json worded.json         # the language model's

On MovieLens-100K, through the public API: the first five items of users' lists are explained. Every title of the
catalogue, every value of an attribute and every number in the text must stand in the evidence. `--model` lets the
language model word them (a few seconds each on a CPU), `--llm` lets it rank too.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path

from tqdm import tqdm

from llmrec import Explanation, Item, Recommender
from llmrec.data import fetch_dataset
from llmrec.evaluation.description import describe_environment
from llmrec.files import replace_file
from llmrec.releases import shipped_release
from llmrec.service.printing import print_table

_A_USER = 5
_COMMON = re.compile(r"^(?:[a-z]+|\w{1,3})$", re.IGNORECASE)
"""Titles of one plain word, such as “It”, are words of any sentence."""


def main() -> int:
    """Run once."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--explanations", type=int, default=1_000)
    parser.add_argument("--model", action="store_true", help="let the language model word them")
    parser.add_argument("--llm", action="store_true", help="let the language model rank too")
    parser.add_argument("--json", type=Path, metavar="OUT")
    options = parser.parse_args()
    settings = {
        "ranking": {"enabled": options.llm, "attributes": 0},
        "explain": {"wording": "model" if options.model else "template"},
        "retrieval": {"history_events": 20},
    }
    with tempfile.TemporaryDirectory() as directory, Recommender.create(Path(directory) / "films", settings) as rec:
        folder = str(fetch_dataset("ml-100k"))
        rec.import_(users=folder, items=folder, events=folder)
        release = shipped_release("ml-100k")
        assert release is not None, "this checkout has no adapters/ml-100k"
        rec.install(release)
        checker = Checker(list(rec.items()))
        found = [
            (one, checker.unsupported(one))
            for one in tqdm(explained(rec, options.explanations, llm=options.llm), total=options.explanations)
        ]
    report = summary(found)
    print_table("Explanations", ["what", "value"], [[name, str(value)] for name, value in report["counts"].items()])
    if options.json:
        replace_file(options.json, json.dumps({"environment": describe_environment(), **report}, indent=2).encode())
    return 1 if report["unsupported"] else 0


def explained(rec: Recommender, count: int, *, llm: bool) -> Iterator[Explanation]:
    """Explanations of the first items of lists."""
    left = count
    for user in rec.users():
        for one in rec.recommend(user.user_id, min(_A_USER, left), llm=llm).items:
            yield rec.explain(user.user_id, one.item.item_id)
            left -= 1
        if not left:
            return


class Checker:
    """Finds titles, values and numbers in a text by their letters alone.

    Args:
        items: The catalogue.
    """

    def __init__(self, items: list[Item]) -> None:
        titles = {plain(item.title) for item in items}
        self._titles = sorted((one for one in titles if not _COMMON.match(one)), key=len, reverse=True)
        values = (value for item in items for given in item.attributes.values() for value in each(given))
        self._values = {plain(value) for value in values if isinstance(value, str)}
        self._any = {
            kind: re.compile(
                r"(?<!\w)(?:" + "|".join(map(re.escape, sorted(known, key=len, reverse=True))) + r")(?!\w)"
            )
            for kind, known in (("title", self._titles), ("value", self._values))
        }

    def unsupported(self, explanation: Explanation) -> list[str]:
        """What the text names and the evidence does not hold."""
        text, evidence = plain(explanation.text), [plain(one.text) for one in explanation.evidence]
        known = [plain(explanation.item.title), *evidence]
        strange = [
            f"{kind} {name}"
            for kind, pattern in self._any.items()
            for name in pattern.findall(without(text, known))
            if not any(re.search(rf"(?<!\w){re.escape(name)}(?!\w)", one) for one in known)
        ]
        numbers = {round(abs(float(one)), 2) for one in re.findall(r"\d+(?:\.\d+)?", " ".join(known))}
        numbers |= {round(abs(one.strength), 2) for one in explanation.evidence}
        said = (float(one) for one in re.findall(r"\d+(?:\.\d+)?", text))
        return strange + [f"number {one:g}" for one in said if round(one, 2) not in numbers]


def plain(text: str) -> str:
    """Without what only looks different."""
    return re.sub(r"\s+", " ", text.replace("’", "'")).casefold()  # noqa: RUF001


def each(given: object) -> Iterable[object]:
    """The values of an attribute."""
    return given if isinstance(given, tuple) else (given,)


def without(text: str, known: list[str]) -> str:
    """The text without the evidence that it repeats word for word, in which other titles may hide."""
    for one in sorted(known, key=len, reverse=True):
        text = text.replace(one, " ; ")
    return text


def summary(found: list[tuple[Explanation, list[str]]]) -> dict[str, object]:
    """Counts, and every fault."""
    notes = [note for one, _ in found for note in one.trace.notes]
    told = [
        tuple(map(int, one)) for note in notes for one in re.findall(r"(\d+) of (\d+) sentences were dropped", note)
    ]
    faults = [{"text": one.text, "unsupported": names} for one, names in found if names]
    counts = {"explanations": len(found), "with something that is not in the evidence": len(faults)}
    if told:
        counts |= {
            "worded by the language model": sum(gone < written for gone, written in told),
            "sentences it wrote": sum(written for _, written in told),
            "of these kept by llmrec's own check": sum(written - gone for gone, written in told),
        }
    return {"counts": counts, "unsupported": faults}


if __name__ == "__main__":
    sys.exit(main())
