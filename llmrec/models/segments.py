"""The pieces a prompt is made of."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["Segment"]


@dataclass(frozen=True, slots=True)
class Segment:
    """A piece of a prompt: the template's own words are trusted, everything else (titles, comments) is foreign.

    Each segment is tokenised apart, and in foreign ones control tokens are read as the characters they are written in.
    """

    text: str
    trusted: bool
