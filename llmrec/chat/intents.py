"""What somebody wants with an utterance, learnt from the example sentences in prompts/intents.tsv.

The names of the catalogue are masked first, so that it is learnt for any catalogue, whatever it holds.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Literal, cast, get_args

import numpy as np

from llmrec.errors import PromptError
from llmrec.models import Encoder
from llmrec.words import SentenceRegression

__all__ = ["Intent", "IntentModel", "read_examples"]

Intent = Literal[
    "recommend", "more_like", "less_like", "filter", "why", "why_not", "compare", "comment", "undo", "profile", "help",
    "other",
]  # fmt: skip
_INTENTS: tuple[str, ...] = get_args(Intent)

_COMMENT = _INTENTS.index("comment")
_LEAST = 0.3
"""A comment scores so much; of some 600 sentences that the classifier was mended on one scored less."""
_MEANING, _SHARPNESS = 0.6, 1.5
"""Of the regression: the best of some on the examples themselves, each fifth foretold from the others."""

Example = tuple[str, str]


def read_examples(path: Path) -> list[Example]:
    """Intent and sentence of each line; lines that begin with # are for people.

    Raises:
        PromptError: A line has no such form, or names no intent.
    """
    found = []
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        if not line.strip() or line.startswith("#"):
            continue
        intent, tab, sentence = line.partition("\t")
        if not tab or intent not in _INTENTS or not sentence.strip():
            raise PromptError(
                f"{path.name}, line {number}: {line[:60]!r} is no example",
                hint=f"write an intent, a tab and a sentence; the intents are {', '.join(_INTENTS)}",
            )
        found.append((intent, sentence.strip()))
    return found


class IntentModel:
    """Which intent a masked utterance has.

    Args:
        examples: Intents and masked sentences.
        encoder: Gives the vectors of meaning.
    """

    def __init__(self, examples: Sequence[Example], encoder: Encoder) -> None:
        wanted = np.array([[float(intent == one) for one in _INTENTS] for intent, _ in examples])
        # A frequent intent is no likelier for it.
        wanted *= len(examples) / len(_INTENTS) / np.maximum(wanted.sum(axis=0), 1)
        self._regression = SentenceRegression.learn(
            [sentence for _, sentence in examples], wanted, encoder, meaning=_MEANING, sharpness=_SHARPNESS
        )

    def best(self, sentences: Sequence[str]) -> list[tuple[Intent, float]]:
        """The likeliest intent of each sentence, and by how much it leads; a comment must sound like one."""
        scores = self._regression.scores(sentences)
        # What is like no example would be kept as a comment for good; to every other intent there is a question back.
        scores[:, _COMMENT] = np.where(scores[:, _COMMENT] >= _LEAST, scores[:, _COMMENT], -np.inf)
        first_two = np.sort(scores, axis=1)[:, -2:]
        intents = [_INTENTS[int(place)] for place in scores.argmax(axis=1)]
        return [
            (cast(Intent, intent), float(most - second))
            for intent, (second, most) in zip(intents, first_two, strict=True)
        ]
