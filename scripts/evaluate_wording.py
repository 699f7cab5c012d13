"""Check the words of explanations against their evidence, with a checker that shares nothing with llmrec's own.

    python scripts/evaluate_wording.py --explanations 1000 --json wording.json               # the template's words
    python scripts/evaluate_wording.py --explanations 100 --model --json worded.json         # the language model's

On MovieLens-100K, through the public API: the first five items of users' lists are explained. What the user is said
to have done must have been done, with that very title and rating; every other title of the catalogue, value of an
attribute and number in the text must stand in the evidence. `--model` lets the language model word them (a few
seconds each on a CPU), `--llm` lets it rank too.
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
from llmrec.config import OWN_STORE
from llmrec.data import fetch_dataset
from llmrec.evaluation.description import describe_environment
from llmrec.files import replace_file
from llmrec.releases import shipped_release
from llmrec.service.printing import print_table

Told = tuple[str, str, float | None]
"""A deed, a title and a rating."""

_A_USER = 5
_DEED = re.compile(
    r"(?:(?<=^)|(?<=you )|(?<=, )|(?<=and ))(?:did not like|looked closer at|wanted to see|took|gave|liked|bought|hid"
    r"|rated|watched|saw|loved|enjoyed|disliked)\b"
)
_RATING = re.compile(r" a rating of (\d+(?:\.\d+)?)")
_MORE = re.compile(r"(?:,| and|, and) ")
_NUMBER = re.compile(r"\d+(?:\.\d+)?")
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
        **OWN_STORE,
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
    """Finds deeds, titles, values and numbers in a text by their letters alone.

    Args:
        items: The catalogue.
    """

    def __init__(self, items: list[Item]) -> None:
        self._items = {item.item_id: item for item in items}
        self._title = either(form for item in items for form in forms(item.title))
        values = (value for item in items for given in item.attributes.values() for value in each(given))
        self._any = {
            "title": either(plain(item.title) for item in items if not _COMMON.match(plain(item.title))),
            "value": either(plain(value) for value in values if isinstance(value, str)),
        }

    def unsupported(self, explanation: Explanation) -> list[str]:
        """What the text says and the evidence does not hold."""
        text, _, score = plain(explanation.text).partition("of its score,")
        done = self._done(explanation)
        wrong = [f"deed {told}" for told in self._told(text) if told not in done]
        return wrong + self._strange(text, explanation) + wrong_parts(score, explanation)

    def _done(self, explanation: Explanation) -> set[Told]:
        """What the user did, in every form of a title."""
        done: set[Told] = set()
        for one in explanation.evidence:
            if one.kind == "event" and one.item_id in self._items:
                deed, rating = _DEED.match(plain(one.text)), _RATING.search(plain(one.text))
                value = float(rating[1]) if rating else None
                done |= {(deed[0] if deed else "", form, value) for form in forms(self._items[one.item_id].title)}
        return done

    def _told(self, text: str) -> Iterator[Told]:
        """What the text says the user did: a deed, the title behind it, and a rating behind that."""
        for deed in _DEED.finditer(text):
            place, found = deed.end() + 1, self._title.match(text, deed.end() + 1)
            if found is None:
                yield deed[0], text[place : place + 30], None
            while found:
                rating = _RATING.match(text, found.end())
                yield deed[0], found[0], float(rating[1]) if rating else None
                place = rating.end() if rating else found.end()
                more = _MORE.match(text, place)  # as in “took this and that”
                found = self._title.match(text, more.end()) if more else None

    def _strange(self, text: str, explanation: Explanation) -> list[str]:
        known = [plain(explanation.item.title), *(plain(one.text) for one in explanation.evidence)]
        strange = [
            f"{kind} {name}"
            for kind, pattern in self._any.items()
            for name in pattern.findall(without(text, known))
            if not any(re.search(rf"(?<!\w){re.escape(name)}(?!\w)", one) for one in known)
        ]
        held = {float(one) for one in _NUMBER.findall(" ".join(known))}
        held |= {round(one.strength, 2) for one in explanation.evidence if one.kind == "change"}
        return strange + [f"number {one}" for one in _NUMBER.findall(text) if float(one) not in held]


def wrong_parts(score: str, explanation: Explanation) -> list[str]:
    """Numbers of a score's parts that are not those of the evidence."""
    held = {f"{one.strength:+.2f}" for one in explanation.evidence if one.kind == "part"}
    return [f"part {one}" for one in re.findall(r"[+-]\d+\.\d+", score) if one not in held]


def forms(title: str) -> set[str]:
    """A title as it may be written: with and without its brackets, its article before it."""
    full = plain(title)
    bare = re.sub(r" *\([^)]*\)", "", full).strip()
    turned = {re.sub(r"^(.+), (the|a|an|le|la|les|der|die|das|el|il)\b", r"\2 \1", one) for one in (full, bare)}
    return {full, bare, *turned, re.sub(r", (?:the|a|an)$", "", bare)} - {""}


def either(names: Iterable[str]) -> re.Pattern[str]:
    """Finds any of these that stands by itself, the longest first."""
    ordered = sorted(set(names), key=len, reverse=True)
    return re.compile(rf"(?<!\w)(?:{'|'.join(map(re.escape, ordered))})(?!\w)")


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
