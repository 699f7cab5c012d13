"""One turn: what each wish does, and what is said about it."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any, Protocol
from uuid import uuid4

from llmrec.chat.constraints import Constraints, limits_of
from llmrec.chat.profile import profile_of
from llmrec.chat.reply import Action, Reply, State, Step
from llmrec.chat.understanding import Wish
from llmrec.records import Event, Explanation, History, Item, RankedItem, Recommendation
from llmrec.words import Mentions, Named, Opinion

__all__ = ["Recommends", "Speaker"]

_NEAREST = 0.45
"""Cosine between an utterance and a text, from which it is taken for a description of that item."""
_MOST_STEPS = 20
_POOR = 2.0
"""Stars, of five, that turn an item down."""
_TOLD = 0.3
"""A sentiment that is nearer to 0 says little."""
_MORE = re.compile(r"\b(?:more|next|other|others|else|another|different|new|refresh|update|again)\b", re.IGNORECASE)
_HIDE = re.compile(
    r"\b(?:hide|remove|never|off|again|skip|drop|get rid|take|kick|throw|delete|not interested|any ?more|want|leave)\b",
    re.IGNORECASE,
)
_SEEN = re.compile(r"\b(?:seen|saw|watched|read|own|have (?:it|that)|know|already|knew)\b", re.IGNORECASE)
_ALL = re.compile(
    r"\b(?:all|everything|reset|start|clear|anew|beginning|filters?|constraints?|restrictions?|conditions?|limits?)\b",
    re.IGNORECASE,
)
_FORGET = re.compile(r"\b(?:forget|delete|remove|erase|clear)\b", re.IGNORECASE)
_ABOUT = re.compile(r"\b(?:about|of|on|regarding|concerning)\s+(?!me\b|it all\b)\w", re.IGNORECASE)
_EVERYTHING = re.compile(r"\b(?:everything|all)\b", re.IGNORECASE)
_CORRECTION = re.compile(r"\b(?:wrong|not true|correct|false|don'?t like|do not like|isn'?t true)\b", re.IGNORECASE)
_THANKS = re.compile(r"\b(?:thanks?|thank you|merci|danke|gracias|grazie)\b", re.IGNORECASE)
_SOURCES = {
    "retrieval": "from what was taken before",
    "llm": "from the language model",
    "feedback": "from your feedback",
}


class Recommends(Protocol):
    """What a conversation asks of a recommender."""

    def recommend(
        self,
        user_id: str,
        n: int = 10,
        *,
        where: Mapping[str, object] | None = None,
        exclude: Iterable[str] = (),
        like: str | None = None,
    ) -> Recommendation:
        """The best items, without some, or only those most like one."""

    def rank(
        self, history: None = None, candidates: Sequence[str] = (), *, user_id: str | None = None
    ) -> list[RankedItem]:
        """The given items in their order for a user."""

    def explain(self, user_id: str, item_id: str) -> Explanation:
        """Why an item gets its score."""

    def feedback(self, event: Event) -> Event:
        """Store what a user said or did."""

    def take_back(self, user_id: str, event_ids: Sequence[str]) -> int:
        """Delete some of a user's events."""

    def history(self, user_id: str) -> History:
        """What is known of a user."""

    def opinion(self, text: str) -> Opinion:
        """What a comment says."""

    def nearest(self, text: str) -> tuple[str, float] | None:
        """The item whose text is nearest to a description, and the cosine."""


class Speaker:
    """Answers one utterance.

    Args:
        recommender: Does what is wanted.
        user_id: Who speaks.
        items: The catalogue.
        state: What holds.
        words: Renders a block of chat.jinja.
        n: How long lists are.
    """

    def __init__(
        self,
        recommender: Recommends,
        user_id: str,
        items: Mapping[str, Item],
        state: State,
        *,
        words: Callable[..., str],
        n: int,
    ) -> None:
        self.state = state
        self._rec = recommender
        self._user_id = user_id
        self._items = items
        self._words = words
        self._n = n
        self._said: list[str] = []
        self._actions: list[Action] = []
        self._event_ids: list[str] = []
        self._recommendation: Recommendation | None = None
        self._explanation: Explanation | None = None
        self._list_wanted: dict[str, Any] | None = None
        self._named: str | None = None

    def answer(self, wishes: Sequence[Wish]) -> Reply:
        """Do what is wanted, and say so; the state holds what changed."""
        before = self.state.constraints
        for wish in wishes:
            if not self._misses(wish.mentions):
                getattr(self, f"_on_{wish.intent}")(wish)
        if self._actions:
            self._said.insert(0, self._words("done", actions=[one.text for one in self._actions]))
        if self._list_wanted is not None:
            self._give_list(**self._list_wanted)
        done = [one for one in self._actions if one.kind not in ("taken_back", "deleted")]
        if done:
            step = Step("; ".join(one.text for one in done), before, tuple(self._event_ids))
            self.state = replace(self.state, steps=(*self.state.steps, step)[-_MOST_STEPS:])
        return Reply(
            "\n".join(self._said),
            tuple(wish.intent for wish in wishes),
            self._recommendation,
            self._explanation,
            tuple(self._actions),
            tuple(self.state.constraints.in_words()),
        )

    # --- lists

    def _talk_of(self, item_id: str) -> None:
        """From now on “it” is this item."""
        self._named = item_id
        self.state = replace(self.state, focus=item_id)

    def _on_recommend(self, wish: Wish) -> None:
        self._narrow(wish.mentions)
        self._want_list(more=bool(_MORE.search(wish.text)) and not self._actions)

    def _on_filter(self, wish: Wish) -> None:
        if not wish.mentions.narrows:
            self._said.append(self._words("unknown", subject="", known=self._known()))
            return
        if self._narrow(wish.mentions):
            self._want_list()

    def _on_more_like(self, wish: Wish) -> None:
        item_id = self._one_item(wish, guess=True)
        if item_id is None:
            return
        if self._opinion_of(wish, item_id):
            self._comment(item_id, wish.text, None)
        self._narrow(wish.mentions, talked_of=[item_id])
        self._talk_of(item_id)
        self._want_list(like=item_id)

    def _on_less_like(self, wish: Wish) -> None:
        subjects = self._subjects(wish.mentions)
        if not subjects and wish.mentions.narrows:
            refused = tuple(replace(one, wanted=False) for one in wish.mentions.values)
            self._narrow(replace(wish.mentions, values=refused))
            self._want_list()
            return
        if not subjects and (one := self._one_item(wish)) is not None:
            subjects = [one]
        hides = bool(_HIDE.search(wish.text)) and not re.search(r"\b(?:like|similar)\b", wish.text, re.IGNORECASE)
        hidden = self._rec.history(self._user_id).hidden
        for item_id in subjects:
            if hides and item_id in hidden:
                self._said.append(self._words("why_not", **_why_not(self._title(item_id), hidden=True)))
                continue
            kind, done = ("hide", "hidden") if hides else ("dislike", "disliked")
            self._keep(Event(self._user_id, item_id, kind))
            told = f"hid {self._title(item_id)}" if hides else f"less like {self._title(item_id)}"
            self._actions.append(Action(done, told, item_id))
        if subjects:
            self.state = replace(self.state, offered=())
            self._want_list()

    def _narrow(self, mentions: Mentions, talked_of: Sequence[str] = ()) -> bool:
        """Add what the items should be; whether there was anything that the catalogue knows."""
        if not mentions.narrows:
            return False
        compared = talked_of or ([self.state.focus] if self.state.focus else self.state.shown)
        limits, unknown = limits_of(mentions.bounds, self._items, compared)
        for subject in unknown:
            self._said.append(self._words("unknown", subject=subject, known=self._known()))
        if not limits and not mentions.values:
            return False
        added = Constraints(mentions.values, tuple(limits))
        narrowed = self.state.constraints.narrowed(mentions.values, limits)
        self.state = replace(self.state, constraints=narrowed, offered=())
        self._actions.append(Action("filtered", ", ".join(added.in_words())))
        return True

    def _want_list(self, *, more: bool = False, like: str | None = None) -> None:
        """One list a turn, after everything else was done."""
        kept = self._list_wanted or {"more": False, "like": None}
        self._list_wanted = {"more": more or kept["more"], "like": like or kept["like"]}

    def _give_list(self, *, more: bool, like: str | None) -> None:
        constraints = self.state.constraints
        excluded = self.state.offered if more else ()
        answer = self._rec.recommend(
            self._user_id, self._n, where=constraints.where() or None, exclude=excluded, like=like
        )
        if not answer.items:
            self._said.append(self._words("nothing", constraints=constraints.in_words()))
            return
        ids = tuple(one.item.item_id for one in answer.items)
        titles = [_with_year(one.item) for one in answer.items]
        similar = self._title(like) if like else ""
        self._said.append(
            self._words("list", titles=titles, similar=similar, more=more, constraints=constraints.in_words())
        )
        offered = tuple(dict.fromkeys((*self.state.offered, *ids)))
        self.state = replace(self.state, shown=ids, offered=offered, focus=self._named, list_id=answer.id)
        self._recommendation = answer

    # --- reasons

    def _on_why(self, wish: Wish) -> None:
        item_id = self._one_item(wish, default=self.state.shown[0] if self.state.shown else None)
        if item_id is not None:
            self._explanation = self._rec.explain(self._user_id, item_id)
            self._talk_of(item_id)
            self._said.append(self._explanation.text)

    def _on_why_not(self, wish: Wish) -> None:
        item_id = self._one_item(wish, guess=True)
        if item_id is None:
            return
        self._talk_of(item_id)
        history, item, shown = self._rec.history(self._user_id), self._items[item_id], self.state.shown
        place = str(shown.index(item_id) + 1) if item_id in shown else ""
        against = self.state.constraints.against(item) or ""
        found = {"hidden": item_id in history.hidden, "seen": item_id in history.seen, "against": against}
        last, gap, parts, text, unlisted = "", "", "", "", not shown
        if not place and not any(found.values()):
            ranked = self._rec.rank(candidates=[*shown, item_id], user_id=self._user_id)
            own = next(one for one in ranked if one.item.item_id == item_id)
            others = [one for one in ranked if one.item.item_id != item_id]
            above = [one for one in others if one.score > own.score]
            text = self._explained(item_id)
            if above:
                last, gap = above[-1].item.title, f"{above[-1].score - own.score:.2f}"
                parts = _difference(own, above[-1])
        told = {"place": place, "last": last, "gap": gap, "parts": parts, "text": text, "unlisted": unlisted, **found}
        self._said.append(self._words("why_not", **_why_not(item.title, **told)))

    def _explained(self, item_id: str) -> str:
        self._explanation = self._rec.explain(self._user_id, item_id)
        return self._explanation.text

    def _on_compare(self, wish: Wish) -> None:
        subjects = self._subjects(wish.mentions)
        if len(subjects) == 1 and self.state.focus and self.state.focus != subjects[0]:
            subjects = [subjects[0], self.state.focus]
        if not subjects and len(self.state.shown) > 1:
            subjects = list(self.state.shown[:2])
        if len(subjects) < 2:
            self._said.append(self._words("which", missing="", shown=bool(self.state.shown)))
            return
        first, second = self._rec.rank(candidates=list(dict.fromkeys(subjects))[:2], user_id=self._user_id)
        pairs = [_values_in_words(one.item) for one in (first, second)]
        both = [one for one in pairs[0] if one in pairs[1]]
        self._talk_of(first.item.item_id)
        self._said.append(
            self._words(
                "compare",
                first=first.item.title,
                second=second.item.title,
                gap=f"{first.score - second.score:.2f}",
                parts=_difference(first, second),
                shared=", ".join(both),
                only_first=", ".join(one for one in pairs[0] if one not in both),
                only_second=", ".join(one for one in pairs[1] if one not in both),
            )
        )

    # --- what was thought of items

    def _on_comment(self, wish: Wish) -> None:
        subjects = self._subjects(wish.mentions) or ([self.state.focus] if self.state.focus else [])
        if not subjects and (wish.mentions.stars is not None or self._says_little(wish.text)):
            self._said.append(self._words("which", missing="", shown=bool(self.state.shown)))
            return
        for item_id in subjects:
            self._comment(item_id, wish.text, wish.mentions.stars)
        if not subjects:
            self._comment(None, wish.text, None)
        if subjects:
            self._talk_of(subjects[-1])

    def _says_little(self, text: str) -> bool:
        """Whether nothing can be made of words about no item in particular."""
        opinion = self._rec.opinion(text)
        return not opinion.values and abs(opinion.sentiment) < _TOLD

    def _comment(self, item_id: str | None, text: str, stars: float | None) -> None:
        title = f" on {self._title(item_id)}" if item_id else ""
        if item_id is not None and stars is not None:
            self._keep(Event(self._user_id, item_id, "rating", value=stars, text=text))
            if stars <= _POOR:
                self._keep(Event(self._user_id, item_id, "dislike"))
            self._actions.append(Action("rated", f"rated {self._title(item_id)} {stars:g}", item_id))
            return
        opinion = self._rec.opinion(text)
        if item_id is not None and _SEEN.search(text) and abs(opinion.sentiment) < _TOLD and not opinion.values:
            self._keep(Event(self._user_id, item_id, "view"))
            self._actions.append(Action("seen", f"you know {self._title(item_id)}", item_id))
            return
        self._keep(Event(self._user_id, item_id, "comment", text=text))
        if item_id is not None and abs(opinion.sentiment) >= _TOLD:
            # The words are kept as they are; what they come to is a deed that the encoder knows.
            self._keep(Event(self._user_id, item_id, "like" if opinion.sentiment > 0 else "dislike"))
        tone = (
            "in favour"
            if opinion.sentiment > 0.2
            else "against"
            if opinion.sentiment < -0.2
            else "neither for nor against"
        )
        spoken = [f"{'+' if liking > 0 else '-'}{named.value}" for named, liking in opinion.values]
        told = f"kept your comment{title} ({', '.join([tone, *spoken])})"
        self._actions.append(Action("commented", told, item_id))

    def _opinion_of(self, wish: Wish, item_id: str) -> bool:
        """Whether “I loved it, more like that” says what was thought of the item too."""
        named = item_id in self._subjects(wish.mentions) or item_id == self.state.focus
        return named and bool(re.search(r"\b(?:loved?|liked|enjoyed|adored)\b", wish.text, re.IGNORECASE))

    # --- taking back

    def _on_undo(self, wish: Wish) -> None:
        subjects, values = self._subjects(wish.mentions), wish.mentions.values
        if subjects:
            self._unhide(subjects)
        elif values or self._limited(wish.text):
            self._lift(values, self._limited(wish.text))
        elif _ALL.search(wish.text):
            self._lift(self.state.constraints.values, [one.attribute for one in self.state.constraints.limits])
        else:
            self._undo_last()
        if self._actions and self.state.shown:
            self.state = replace(self.state, offered=())
            self._want_list()

    def _take_back(self, event_ids: Sequence[str]) -> None:
        """Delete events, and what could have been undone of them."""
        self._rec.take_back(self._user_id, event_ids)
        gone, steps = set(event_ids), []
        for step in self.state.steps:
            left = tuple(one for one in step.event_ids if one not in gone)
            if left or not step.event_ids:
                steps.append(replace(step, event_ids=left))
        self.state = replace(self.state, steps=tuple(steps))

    def _undo_last(self) -> None:
        if not self.state.steps:
            self._said.append(self._words("taken_back", what=""))
            return
        step = self.state.steps[-1]
        self._rec.take_back(self._user_id, step.event_ids)
        self.state = replace(self.state, constraints=step.constraints, steps=self.state.steps[:-1])
        self._actions.append(Action("taken_back", f"took back: {step.text}"))

    def _lift(self, values: Iterable[Named], names: Iterable[str]) -> None:
        before = self.state.constraints
        self.state = replace(self.state, constraints=before.without(values, names))
        lifted = [one for one in before.in_words() if one not in self.state.constraints.in_words()]
        if lifted:
            self._actions.append(Action("unfiltered", f"no longer: {', '.join(lifted)}"))
        else:
            self._said.append(self._words("taken_back", what=""))

    def _limited(self, text: str) -> list[str]:
        """Attributes with a limit that a text names."""
        said = text.casefold()
        return [one.attribute for one in self.state.constraints.limits if one.attribute.casefold() in said]

    def _unhide(self, item_ids: Sequence[str]) -> None:
        history = self._rec.history(self._user_id)
        found = [
            event for event in history.events if event.item_id in item_ids and event.is_negative and event.event_id
        ]
        # What was hidden longer ago than a history reaches is shown again by a word of its own.
        for item_id in sorted(history.hidden.intersection(item_ids) - {event.item_id for event in found}):
            self._keep(Event(self._user_id, item_id, "unhide"))
            self._actions.append(Action("taken_back", f"{self._title(item_id)} may be shown again", item_id))
        if not found:
            if not self._actions:
                self._said.append(self._words("taken_back", what=""))
            return
        self._take_back([str(event.event_id) for event in found])
        for item_id in dict.fromkeys(str(event.item_id) for event in found):
            self._actions.append(Action("taken_back", f"{self._title(item_id)} may be shown again", item_id))
            self._talk_of(item_id)

    # --- what is known

    def _on_profile(self, wish: Wish) -> None:
        corrected = _CORRECTION.search(wish.text) and wish.mentions.values
        if corrected:
            self._narrow(replace(wish.mentions, bounds=()))
        elif _FORGET.search(wish.text):
            self._forget(wish)
        else:
            lines = profile_of(self._rec.history(self._user_id), self._items, self.state.constraints)
            self._said.append(self._words("profile", lines=[line.text for line in lines]))

    def _forget(self, wish: Wish) -> None:
        subjects, values = self._subjects(wish.mentions), wish.mentions.values
        everything = bool(_EVERYTHING.search(wish.text)) and not subjects and not values
        if everything and _ABOUT.search(wish.text):
            # “Everything I said about …” what is not understood is not everything.
            self._said.append(self._words("which", missing="", shown=bool(self.state.shown)))
            return
        whole = re.search(r"\bhistory\b", wish.text, re.IGNORECASE)
        gone = [
            event
            for event in self._rec.history(self._user_id).events
            if event.event_id and self._is_meant(event, subjects, values, everything=everything, whole=bool(whole))
        ]
        if subjects:
            self._talk_of(subjects[-1])
        if gone:
            self._take_back([str(event.event_id) for event in gone])
            titles = dict.fromkeys(self._title(event.item_id) for event in gone if event.item_id)
            about = f" about {', '.join(titles)}" if titles else ""
            self._actions.append(Action("deleted", f"deleted {len(gone)} of your entries{about}"))
        if values or everything:
            names = [one.attribute for one in self.state.constraints.limits] if everything else []
            lifted = self.state.constraints.without(self.state.constraints.values if everything else values, names)
            if lifted != self.state.constraints:
                self.state = replace(self.state, constraints=lifted)
                self._actions.append(Action("unfiltered", "lifted what you asked for there"))
        if not self._actions:
            self._said.append(self._words("taken_back", what=""))

    def _is_meant(
        self, event: Event, subjects: Sequence[str], values: Sequence[Named], *, everything: bool, whole: bool
    ) -> bool:
        """Whether somebody who says “forget that” of some items or values means this event."""
        if event.item_id in subjects:
            return whole or event.kind in ("comment", "rating", "like", "dislike", "hide")
        if event.kind not in ("comment", "search") and not (event.kind in ("like", "dislike") and values):
            return False
        if everything:
            return bool(event.text)
        said = self._rec.opinion(event.text).values if event.text else ()
        spoken = {(named.attribute, named.value) for named, _ in said}
        item = self._items.get(event.item_id or "")
        held = set(_attributes(item)) if item else set()
        return any((one.attribute, one.value) in spoken | held for one in values)

    # --- the rest

    def _on_help(self, wish: Wish) -> None:
        example = next((value for _, value in _frequent(self._items)), "…")
        self._said.append(self._words("help", thanks=bool(_THANKS.search(wish.text)), example=example))

    def _on_other(self, wish: Wish) -> None:
        del wish
        self._said.append(self._words("other"))

    def _misses(self, mentions: Mentions) -> bool:
        """Whether a place is named that the list does not have: then nothing is done, and that is said."""
        shown = len(self.state.shown)
        missing = [one for one in mentions.subjects if isinstance(one, int) and not (one == -1 or one <= shown)]
        missing += [one for one in mentions.subjects if one == -1 and not shown]
        if missing:
            self._said.append(
                self._words("which", missing=str(missing[0]) if missing[0] > 0 else "", shown=bool(shown))
            )
        return bool(missing)

    def _subjects(self, mentions: Mentions) -> list[str]:
        """The items an utterance names."""
        found = [
            one if isinstance(one, str) else self.state.shown[one - 1 if one > 0 else one] for one in mentions.subjects
        ]
        return list(dict.fromkeys(found))

    def _one_item(self, wish: Wish, *, default: str | None = None, guess: bool = False) -> str | None:
        """The item that a wish is about; where it names none, the one talked of last, or one that it describes."""
        subjects = self._subjects(wish.mentions)
        if subjects:
            return subjects[0]
        if self.state.focus or default:
            return self.state.focus or default
        near = self._rec.nearest(wish.text) if guess else None
        if near is not None and near[1] >= _NEAREST:
            self._said.append(self._words("guessed", title=self._title(near[0])))
            return near[0]
        self._said.append(self._words("which", missing="", shown=bool(self.state.shown)))
        return None

    def _keep(self, event: Event) -> None:
        listed = self.state.list_id if event.item_id in self.state.shown else None
        kept = self._rec.feedback(replace(event, event_id=uuid4().hex, recommendation_id=listed))
        self._event_ids.append(str(kept.event_id))

    def _title(self, item_id: str | None) -> str:
        item = self._items.get(item_id or "")
        return item.title if item else str(item_id)

    def _known(self) -> list[str]:
        """What lists can be narrowed by, for people."""
        known: dict[str, list[str]] = {}
        for name, value in _frequent(self._items):
            known.setdefault(name, []).append(value)
        told = [f"{name}: {', '.join(values[:6])}" for name, values in known.items()]
        numbers = {
            name
            for item in self._items.values()
            for name, value in item.attributes.items()
            if isinstance(value, int | float) and not isinstance(value, bool)
        }
        return [*told, *sorted(numbers)]


def _why_not(title: str, **told: object) -> dict[str, object]:
    """What the block `why_not` is given."""
    nothing = {"place": "", "hidden": False, "seen": False, "against": "", "last": "", "gap": "", "parts": ""}
    return {"title": title, "text": "", "unlisted": False, **nothing, **told}


def _with_year(item: Item) -> str:
    year = item.attributes.get("year")
    return f"{item.title} ({year})" if isinstance(year, int) and not isinstance(year, bool) else item.title


def _attributes(item: Item) -> list[tuple[str, object]]:
    return [
        (name, value)
        for name, given in item.attributes.items()
        for value in (given if isinstance(given, tuple) else (given,))
    ]


def _values_in_words(item: Item) -> list[str]:
    return [value for _, value in _attributes(item) if isinstance(value, str)]


def _frequent(items: Mapping[str, Item]) -> list[tuple[str, str]]:
    """Values of attributes in words, the most frequent first; none that nearly every item has its own of."""
    counts: dict[tuple[str, str], int] = {}
    for item in items.values():
        for name, value in _attributes(item):
            if isinstance(value, str):
                counts[name, value] = counts.get((name, value), 0) + 1
    return [pair for pair, count in sorted(counts.items(), key=lambda one: (-one[1], one[0])) if count > 1]


def _difference(first: RankedItem, second: RankedItem) -> str:
    """Which parts of the score make the difference, the largest first."""
    parts = {name: first.parts.get(name, 0.0) - second.parts.get(name, 0.0) for name in {**first.parts, **second.parts}}
    told = sorted(parts.items(), key=lambda one: -abs(one[1]))
    return ", ".join(f"{value:+.2f} {_SOURCES.get(name, name)}" for name, value in told if abs(value) >= 0.005)
