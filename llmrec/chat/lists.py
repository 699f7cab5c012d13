"""Wishes for lists: recommend, narrow, more like this, less like that."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace

from llmrec.chat.constraints import Constraints, limits_of
from llmrec.chat.deeds import comment
from llmrec.chat.reasons import say_hidden
from llmrec.chat.turn import Turn
from llmrec.chat.understanding import Wish
from llmrec.records import Item
from llmrec.words import Mentions

__all__ = ["filter_list", "give_list", "less_like", "more_like", "narrow", "recommend"]

_MORE = re.compile(r"\b(?:more|next|other|others|else|another|different|new|refresh|update|again)\b", re.IGNORECASE)
_HIDE = re.compile(
    r"\b(?:hide|remove|never|off|again|skip|drop|get rid|take|kick|throw|delete|not interested|any ?more|want|leave)\b",
    re.IGNORECASE,
)
_ALIKE = re.compile(r"\b(?:like|similar)\b", re.IGNORECASE)
_LOVED = re.compile(r"\b(?:loved?|liked|enjoyed|adored)\b", re.IGNORECASE)


def recommend(turn: Turn, wish: Wish) -> None:
    """A list, or more of it."""
    narrow(turn, wish.mentions)
    turn.want_list(more=bool(_MORE.search(wish.text)) and not turn.actions)


def filter_list(turn: Turn, wish: Wish) -> None:
    """A list of what is wanted alone."""
    if not wish.mentions.narrows:
        turn.say_unknown("")
    elif narrow(turn, wish.mentions):
        turn.want_list()


def more_like(turn: Turn, wish: Wish) -> None:
    """A list of what is like one item."""
    item_id = turn.one_item(wish, guess=True)
    if item_id is None:
        return
    if _praises(turn, wish, item_id):
        comment(turn, item_id, wish.text, None)
    narrow(turn, wish.mentions, talked_of=[item_id])
    turn.talk_of(item_id)
    turn.want_list(like=item_id)


def _praises(turn: Turn, wish: Wish, item_id: str) -> bool:
    """Whether “I loved it, more like that” says what was thought of the item too."""
    named = item_id in turn.subjects(wish.mentions) or item_id == turn.state.focus
    return named and bool(_LOVED.search(wish.text))


def less_like(turn: Turn, wish: Wish) -> None:
    """A list without what was turned down: items, or values of attributes."""
    subjects = turn.subjects(wish.mentions)
    if not subjects and wish.mentions.narrows:
        refused = tuple(replace(one, wanted=False) for one in wish.mentions.values)
        narrow(turn, replace(wish.mentions, values=refused))
        turn.want_list()
        return
    if not subjects and (one := turn.one_item(wish)) is not None:
        subjects = [one]
    _turn_down(turn, subjects, hides=bool(_HIDE.search(wish.text)) and not _ALIKE.search(wish.text))
    if subjects:
        turn.hold(offered=())
        turn.want_list()


def _turn_down(turn: Turn, subjects: Sequence[str], *, hides: bool) -> None:
    hidden = turn.recommender.history(turn.user_id).hidden
    for item_id in subjects:
        title = turn.title(item_id)
        if hides and item_id in hidden:
            say_hidden(turn, title)
        elif hides:
            turn.keep(item_id, "hide")
            turn.did("hidden", f"hid {title}", item_id)
        else:
            turn.keep(item_id, "dislike")
            turn.did("disliked", f"less like {title}", item_id)


def narrow(turn: Turn, mentions: Mentions, talked_of: Sequence[str] = ()) -> bool:
    """Add what the items should be; whether there was anything that the catalogue knows."""
    if not mentions.narrows:
        return False
    compared = talked_of or ([turn.state.focus] if turn.state.focus else turn.state.shown)
    limits, unknown = limits_of(mentions.bounds, turn.items, compared)
    for subject in unknown:
        turn.say_unknown(subject)
    if not limits and not mentions.values:
        return False
    added = Constraints(mentions.values, tuple(limits))
    turn.hold(constraints=turn.state.constraints.narrowed(mentions.values, limits), offered=())
    turn.did("filtered", ", ".join(added.in_words()))
    return True


def give_list(turn: Turn, n: int) -> None:
    """The list that the turn came to, if it is to have one; from then on it has none to give."""
    if turn.wanted is None:
        return
    (more, like), constraints = turn.wanted, turn.state.constraints
    turn.wanted = None
    excluded = turn.state.offered if more else ()
    where = constraints.where() or None
    answer = turn.recommender.recommend(turn.user_id, n, where=where, exclude=excluded, like=like)
    if not answer.items:
        turn.say("nothing", constraints=constraints.in_words())
        return
    ids = tuple(one.item.item_id for one in answer.items)
    titles = [_with_year(one.item) for one in answer.items]
    similar = turn.title(like) if like else ""
    turn.say("list", titles=titles, similar=similar, more=more, constraints=constraints.in_words())
    offered = tuple(dict.fromkeys((*turn.state.offered, *ids)))
    turn.hold(shown=ids, offered=offered, focus=turn.named, list_id=answer.id)
    turn.recommendation = answer


def _with_year(item: Item) -> str:
    year = item.attributes.get("year")
    return f"{item.title} ({year})" if isinstance(year, int) and not isinstance(year, bool) else item.title
