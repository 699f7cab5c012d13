"""The question that is put to the language model about a comment."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from llmrec.models import LanguageModel, Segment

__all__ = ["ask_of_comments"]

_LONGEST = 96
"""Tokens of a comment."""


def ask_of_comments(
    model: LanguageModel, shared: Sequence[Segment], comment: Callable[[str], Sequence[Segment]], texts: Sequence[str]
) -> list[float]:
    """Whether the writer of each text recommends what it is about, as logit(Yes) - logit(No).

    Args:
        model: Is asked.
        shared: What stands before all.
        comment: The question about one text.
        texts: What was written.

    Raises:
        ScoringError: The model failed.
    """

    def ids(pieces: Sequence[Segment]) -> list[int]:
        told = (model.tokenize(one) if one.trusted else model.cap(one.text, _LONGEST)[0] for one in pieces)
        return [index for some in told for index in some]

    # A comment of several lines would look like the next question.
    questions = [ids(comment(" ".join(text.split()))) for text in texts]
    return [float(one) for one in model.score(ids(shared), questions)]
