"""What the language model makes of comments: asked off the request path, kept, and added to the regression's reading.

    sentiment = clip(regression + weight · (log-odds - mean) / spread, -1, 1)

The log-odds are logit(Yes) - logit(No) behind prompts/comment.jinja. Mean, spread and weight are fitted for each base
model and prompt on the labelled sentences, the regression's own part foretold for each fifth of them from the others;
where the model does not make these foretellings better on the whole, its weight is 0.
"""

from __future__ import annotations

import hashlib
import json
import logging
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from llmrec.files import replace_file

__all__ = ["Calibration", "Readings", "calibrated", "forget_readings"]

_AT_ONCE = 16
_FOLDS = 5
_MOST = 100_000
"""Readings that are kept."""
_log = logging.getLogger(__name__)

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Calibration:
    """How the model's log-odds count.

    Args:
        mean: Of the log-odds of the labelled sentences.
        spread: Their standard deviation.
        weight: What is added to a sentiment for each standard deviation; 0: the model does not help.
    """

    mean: float = 0.0
    spread: float = 1.0
    weight: float = 0.0

    def added(self, log_odds: float) -> float:
        """What a reading adds to a sentiment."""
        return self.weight * (log_odds - self.mean) / self.spread


def calibrated(targets: Floats, foretold: Floats, log_odds: Floats) -> Calibration:
    """Fit what the model's reading adds, by least squares on what the regression leaves; checked on each fifth.

    Args:
        targets: From -1 to 1, float64 [sentences].
        foretold: The regression's sentiments, of sentences it did not learn from.
        log_odds: The model's.
    """
    spread = float(log_odds.std())
    if len(targets) < 2 * _FOLDS or spread < 1e-6:
        return Calibration()
    read, left = (log_odds - log_odds.mean()) / spread, targets - foretold
    folds = np.arange(len(targets)) % _FOLDS
    told = np.empty(len(targets))
    for fold in range(_FOLDS):
        others = folds != fold
        told[~others] = _slope(read[others], left[others]) * read[~others]
    helps = float(((left - told) ** 2).sum()) < float((left**2).sum())
    return Calibration(float(log_odds.mean()), spread, _slope(read, left) if helps else 0.0)


def _slope(read: Floats, left: Floats) -> float:
    return max(0.0, float(read @ left) / float(read @ read))


class Readings:
    """What the model made of comments, by their hashes, in a file of the workspace; safe to share between threads.

    What another process adds to the file or deletes from it holds here too.

    Args:
        ask: Gives the log-odds of texts.
        path: Of the file; its name holds the model and the prompt.
    """

    def __init__(self, ask: Callable[[Sequence[str]], Sequence[float]], path: Path) -> None:
        self._ask = ask
        self._path = path
        self._lock = threading.Lock()
        self._known: dict[str, float] = {}
        self._seen: tuple[int, int] | None = None
        self._forgotten = 0

    def known(self, text: str) -> float | None:
        """The log-odds of a text that was read before; None: it was not."""
        return self._current().get(_digest(text))

    def read(self, texts: Sequence[str]) -> int:
        """Let the model read those that it has not read before, and keep what it says; how many there were.

        Raises:
            ScoringError: The model failed; what it read before that is kept.
        """
        new = [text for text in dict.fromkeys(texts) if self.known(text) is None]
        for start in range(0, len(new), _AT_ONCE):
            some, forgotten = new[start : start + _AT_ONCE], self._forgotten
            told = self._ask(some)
            with self._lock:
                if forgotten == self._forgotten:  # else one of them may have been deleted while the model read
                    self._add({_digest(one): float(value) for one, value in zip(some, told, strict=True)})
        return len(new)

    def _add(self, told: Mapping[str, float]) -> None:
        self._write(dict(list({**self._current(), **told}.items())[-_MOST:]))

    def _current(self) -> dict[str, float]:
        """What the file holds now; where it cannot be written, what was read here."""
        seen = _stamp(self._path)
        if seen != self._seen:
            self._known, self._seen = _read(self._path), seen
        return self._known

    def forget(self, texts: Sequence[str] | None = None) -> None:
        """Let go of what was read of some texts, or of all: of words that were deleted not even a number stays."""
        with self._lock:
            self._forgotten += 1
            left = {} if texts is None else _without(self._current(), texts)
            if self._path.exists():
                self._write(left)
            self._known = left

    def _write(self, known: dict[str, float]) -> None:
        self._known = known
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            replace_file(self._path, json.dumps(known).encode())
            self._seen = _stamp(self._path)
        except OSError as error:
            _log.warning("what the language model made of comments is not kept: %s", error)


def forget_readings(directory: Path, texts: Sequence[str]) -> None:
    """Let go of what any model made of some texts.

    Args:
        directory: Holds the files of readings.
        texts: What was deleted.
    """
    for path in directory.glob("*.json"):
        replace_file(path, json.dumps(_without(_read(path), texts)).encode())


def _without(known: Mapping[str, float], texts: Sequence[str]) -> dict[str, float]:
    gone = {_digest(text) for text in texts}
    return {one: told for one, told in known.items() if one not in gone}


def _stamp(path: Path) -> tuple[int, int] | None:
    """What tells a version of a file from others; every one is a new file."""
    try:
        told = path.stat()
    except OSError:
        return None
    return told.st_ino, told.st_mtime_ns


def _read(path: Path) -> dict[str, float]:
    try:
        return {str(one): float(value) for one, value in json.loads(path.read_bytes()).items()}
    except (OSError, ValueError, AttributeError, TypeError):
        return {}


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "replace")).hexdigest()[:32]
