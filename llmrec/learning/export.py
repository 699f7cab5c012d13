"""What a retraining would learn from, as a file: one question and answer a line, in the columns that trl reads.

Each reason that somebody rated becomes a row: the facts as they are put to the model, the words, and whether they were
liked. Each list becomes a row for every item of it: `prompt` (what the model is asked), `completion` (its answer) and
`label` (whether that is what happened), the columns of trl's KTO trainer. Who it was is in no row. What behaviour says
of items (`[ranking] evidence`) is not told here, as only a retraining has counts that do not hold the answers. Beside
the file stands a card: what the set holds, and what it was made from.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from llmrec.errors import ConfigError, ModelError
from llmrec.files import replace_file, writing
from llmrec.learning.scrubbing import scrub_by
from llmrec.learning.thumbs import rated_answers
from llmrec.learning.transcripts import Quotas, transcripts, within
from llmrec.ranking import HeldOutRequest, Ranker
from llmrec.recommender import Recommender
from llmrec.records import Item

__all__ = ["Export", "export_answers", "export_lists"]

_LEFT_OUT = "free text, user ids, and users who keep out of learning"
_SCRUBBED = "personal data in free text, as Presidio finds it, user ids, and users who keep out of learning"


@dataclass(frozen=True, slots=True)
class Export:
    """What was written.

    Args:
        path: The rows.
        card: What is said of them.
    """

    path: Path
    card: Mapping[str, Any]


def export_lists(rec: Recommender, path: Path, *, since: int = 0) -> Export:
    """Write the choices from lists that were shown, and their card as JSON beside it.

    Args:
        rec: The workspace.
        path: Where the rows go; the card's name ends in .card.json.
        since: Only choices that arrived after this sequence.

    Raises:
        StoreError: The files cannot be written.
        NotFittedError: There is no release yet.
        ModelError: The language model is switched off.
        ConfigError: It is asked for titles.
        MissingExtraError: Free text is wanted, and Presidio is not installed.
    """
    snapshot, items = rec.store.last_sequence(), rec.catalogue().items
    longest, wanted = rec.settings.retrieval.history_events, rec.settings.learning
    scrub = scrub_by(wanted)
    found = list(transcripts(rec.store, items, snapshot=snapshot, longest=longest, since=since, scrub=scrub))
    kept = within(Quotas(wanted.user_quota, wanted.item_quota), found)
    ranker = rec.answering()[1].ranker
    if ranker is None:
        raise ModelError("the language model is switched off", hint="set ranking.enabled to true")
    if ranker.ask == "title":
        raise ConfigError(
            "asked for titles, the model is put no question whose answers could be exported",
            hint="set ranking.ask to choice, and fit",
        )
    rows = [row for request in kept for row in _rows(request, ranker, items)]
    card = {
        "lists": len(kept),
        "lists_beyond_quotas": len(found) - len(kept),
        "window": {"after_sequence": since, "last_sequence": snapshot},
        "prompt": ranker.fingerprint,
        "quotas": {"user": wanted.user_quota, "item": wanted.item_quota},
        "left_out": _SCRUBBED if wanted.free_text else _LEFT_OUT,
    }
    return _written(path, rows, card)


def export_answers(rec: Recommender, path: Path, *, since: int = 0) -> Export:
    """Write the reasons that somebody rated, and their card as JSON beside it.

    Args:
        rec: The workspace.
        path: Where the rows go; the card's name ends in .card.json.
        since: Only turns of conversations after this one.

    Raises:
        StoreError: The files cannot be written.
    """
    wanted, answerer = rec.settings.learning, rec.answers().base
    found = rated_answers(rec.store, named=rec.settings.explain.named, quota=wanted.user_quota, since=since)
    rows: list[dict[str, object]] = [
        {"prompt": answerer.model.text(answerer.prompt(one.facts)), "completion": f" {one.text}", "label": one.up}
        for one in found
    ]
    card = {
        "window": {"after_turn": since, "last_turn": max((one.number for one in found), default=since)},
        "prompt": answerer.fingerprint,
        "quotas": {"user": wanted.user_quota},
        "left_out": _LEFT_OUT,
    }
    return _written(path, rows, card)


def _written(path: Path, rows: Sequence[Mapping[str, object]], about: Mapping[str, Any]) -> Export:
    data = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows).encode()
    card = {
        **about,
        "rows": len(rows),
        "labels": {str(label).lower(): count for label, count in Counter(row["label"] for row in rows).items()},
        "sha256": hashlib.sha256(data).hexdigest(),
    }
    with writing(path.parent):
        path.parent.mkdir(parents=True, exist_ok=True)
        replace_file(path, data)
        replace_file(path.with_name(f"{path.name}.card.json"), json.dumps(card, indent=2).encode())
    return Export(path, card)


def _rows(request: HeldOutRequest, ranker: Ranker, items: Mapping[str, Item]) -> Iterator[dict[str, object]]:
    shared = ranker.shared(request.before, items).ids
    for place, candidate in enumerate(request.candidates):
        yield {
            "prompt": ranker.model.text([*shared, *ranker.candidate(candidate)[0]]),
            "completion": " Yes",
            "label": place == request.taken,
        }
