"""What was thought of items: comments, stars, and that something is known already."""

from __future__ import annotations

import re

from llmrec.chat.turn import Turn
from llmrec.chat.understanding import Wish
from llmrec.words import Opinion

__all__ = ["comment", "comment_on"]

_POOR = 2.0
"""Stars, of five, that turn an item down."""
_TOLD = 0.3
"""A sentiment that is nearer to 0 says little."""
_LEANING = 0.2
"""A sentiment that is nearer to 0 is told as neither for nor against."""
_SEEN = re.compile(r"\b(?:seen|saw|watched|read|own|have (?:it|that)|know|already|knew)\b", re.IGNORECASE)


def comment_on(turn: Turn, wish: Wish) -> None:
    """Keep what was said of the items named, of the one talked of last, or of none in particular."""
    subjects = turn.subjects(wish.mentions) or ([turn.state.focus] if turn.state.focus else [])
    if not subjects and (wish.mentions.stars is not None or _says_little(turn.recommender.opinion(wish.text))):
        turn.ask_which()
        return
    for item_id in subjects:
        comment(turn, item_id, wish.text, wish.mentions.stars)
    if not subjects:
        comment(turn, None, wish.text, None)
    else:
        turn.talk_of(subjects[-1])


def _says_little(opinion: Opinion) -> bool:
    """Whether nothing can be made of words about no item in particular."""
    return not opinion.values and abs(opinion.sentiment) < _TOLD


def comment(turn: Turn, item_id: str | None, text: str, stars: float | None) -> None:
    """Keep stars, or that an item is known, or the words."""
    if item_id is not None and stars is not None:
        _rate(turn, item_id, text, stars)
        return
    opinion = turn.recommender.opinion(text)
    if item_id is not None and _SEEN.search(text) and _says_little(opinion):
        turn.keep(item_id, "view")
        turn.did("seen", f"you know {turn.title(item_id)}", item_id)
        return
    turn.keep(item_id, "comment", text=text)
    if item_id is not None and abs(opinion.sentiment) >= _TOLD:
        # The words are kept as they are; what they come to is a deed that the encoder knows.
        turn.keep(item_id, "like" if opinion.sentiment > 0 else "dislike")
    about = f" on {turn.title(item_id)}" if item_id else ""
    turn.did("commented", f"kept your comment{about} ({_in_words(opinion)})", item_id)


def _rate(turn: Turn, item_id: str, text: str, stars: float) -> None:
    turn.keep(item_id, "rating", value=stars, text=text)
    if stars <= _POOR:
        turn.keep(item_id, "dislike")
    turn.did("rated", f"rated {turn.title(item_id)} {stars:g}", item_id)


def _in_words(opinion: Opinion) -> str:
    """For or against, and of which values."""
    tone = "neither for nor against"
    if abs(opinion.sentiment) > _LEANING:
        tone = "in favour" if opinion.sentiment > 0 else "against"
    return ", ".join([tone, *(f"{'+' if liking > 0 else '-'}{named.value}" for named, liking in opinion.values)])
