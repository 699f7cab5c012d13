"""An explanation worded by the language model: it is given the facts, and each of its sentences is checked."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from llmrec.errors import ScoringError
from llmrec.explaining.checking import Names, sentences_of, unsupported
from llmrec.explaining.facts import Facts
from llmrec.models import LanguageModel, Segment
from llmrec.ranking import PromptLibrary
from llmrec.ranking.prompts import Slot

__all__ = ["Answerer", "Worded"]

_LONGEST = 96
"""Tokens of an answer."""
_PIECES = 2
"""A deed is a title and some words, so it may be so many times as long as a title."""

_logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Worded:
    """What the language model wrote.

    Args:
        kept: The sentences that the facts support, in their order.
        dropped: The others, and what they say beyond the facts.
    """

    kept: tuple[str, ...]
    dropped: tuple[tuple[str, tuple[str, ...]], ...]

    @property
    def text(self) -> str:
        """What may be shown; empty if nothing."""
        return " ".join(self.kept)


class Answerer:
    """Asks a language model to word facts.

    Args:
        model: Writes.
        prompts: The templates.
        text_tokens: Longest title or attribute.
    """

    def __init__(self, model: LanguageModel, prompts: PromptLibrary, *, text_tokens: int = 32) -> None:
        self.model = model
        self.fingerprint = prompts.fingerprint("answer")
        self._prompts = prompts
        self._text_tokens = text_tokens

    def asking(self, model: LanguageModel) -> Answerer:
        """The same prompts, put to another model."""
        return Answerer(model, self._prompts, text_tokens=self._text_tokens)

    def prompt(self, facts: Facts) -> list[int]:
        """The token ids that put the facts to the model, before its answer begins."""
        told = {name: [one.text for one in getattr(facts, name)] for name in ("causes", "against", "shared")}
        return self._encoded(self._prompts.render("answer", "answer", title=facts.title, **told))

    def begun(self, facts: Facts) -> str:
        """How every answer begins; empty where the template leaves that to the model."""
        return self._prompts.text("answer", "begin", title=facts.title, causes=bool(facts.causes))

    def answer(self, facts: Facts, text: str) -> list[int]:
        """The token ids of a text that stands behind the prompt, cut where `write` cuts it."""
        whole, begun = f" {text}", self.begun(facts)
        if not whole.startswith(begun):
            return self.model.tokenize(Segment(whole, trusted=False))
        rest = self.model.tokenize(Segment(whole[len(begun) :], trusted=False))
        return [*self._encoded(self._begin(facts)), *rest]

    def write(self, facts: Facts, names: Names) -> Worded:
        """Let the model word the facts, and keep what they support.

        Raises:
            ScoringError: The model failed.
        """
        written = self.model.write(self.prompt(facts), _LONGEST, begin=self._encoded(self._begin(facts)))
        return checked(self.begun(facts) + written, facts, names)

    def _begin(self, facts: Facts) -> list[Segment | Slot]:
        return self._prompts.render("answer", "begin", title=facts.title, causes=bool(facts.causes))

    def _encoded(self, pieces: Sequence[Segment | Slot]) -> list[int]:
        return [index for piece in pieces if isinstance(piece, Segment) for index in self._ids(piece)]

    def _ids(self, piece: Segment) -> list[int]:
        if piece.trusted:
            return self.model.tokenize(piece)
        return self.model.cap(piece.text, _PIECES * self._text_tokens)[0]


def checked(text: str, facts: Facts, names: Names) -> Worded:
    """A text cut into sentences, each held against the facts; one that stood there before is dropped too."""
    kept: list[str] = []
    dropped: list[tuple[str, tuple[str, ...]]] = []
    for sentence in (" ".join(one.split()) for one in sentences_of(text, facts, names)):
        wrong = ["said before"] if sentence in kept else unsupported(sentence, facts, names)
        if wrong:
            dropped.append((sentence, tuple(wrong)))
        else:
            kept.append(sentence)
    return Worded(tuple(kept), tuple(dropped))


def worded(
    facts: Facts, answerer: Callable[[], Answerer], names: Names, *, failed: str | None
) -> tuple[str | None, str]:
    """What the language model says, None where the template's words stay, and a note that says who found the words.

    Args:
        facts: What may be said.
        answerer: Gives what asks the language model.
        names: What the catalogue calls things.
        failed: Why the language model could not rank, if so; it is then not asked to write either.
    """
    if not facts.events:
        return None, "worded by the template: no event is a reason"
    if failed is not None:
        return None, f"worded by the template: {failed}"
    try:
        asked = answerer()
        found = asked.write(facts, names)
    except ScoringError as error:
        _logger.warning("the language model failed, so the template words the explanation: %s", error)
        return None, f"worded by the template: {error}"
    told = f"{len(found.dropped)} of {len(found.kept) + len(found.dropped)} sentences were dropped"
    if not found.kept:
        return None, f"worded by the template: of {asked.model.name} {told}, which say more than the evidence"
    return found.text, f"worded by {asked.model.name}; {told}"
