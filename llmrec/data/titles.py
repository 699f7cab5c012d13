"""Titles of films as catalogues write them: 'Usual Suspects, The (1995)'."""

from __future__ import annotations

import re

__all__ = ["title_and_year"]

_YEAR = re.compile(r"\s*\((\d{4})(?:\s*[-\u2013]\s*\d{0,4})?\)\s*$")
_ARTICLES = "The|A|An|Le|La|Les|L'|Un|Une|Il|Lo|I|Gli|Uno|Una|El|Los|Las|O|Os|Der|Die|Das|Ein|Eine|De|Het|Den|Det|En|Et"
# 'Title, The' at the end, before a subtitle, or before a bracket that holds another title.
_MOVED = re.compile(rf"(?P<rest>[^()]*[^(),\s]),\s+(?P<article>{_ARTICLES})(?=\s*(?:[():]|$))")


def title_and_year(written: str) -> tuple[str, int | None]:
    """A title in reading order, and the year that stood behind it in brackets."""
    found = _YEAR.search(written)
    bare = written[: found.start()] if found else written
    title = " ".join(_MOVED.sub(_in_order, bare).split())
    return title or written.strip(), int(found[1]) if found else None


def _in_order(found: re.Match[str]) -> str:
    article, rest = found["article"], found["rest"]
    blank = "" if article.endswith("'") else " "
    return f"{article}{blank}{rest}"
