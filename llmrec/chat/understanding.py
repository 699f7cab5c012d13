"""From an utterance to what is wanted: one or several intents, each with what it is about."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from math import inf

from llmrec.chat.intents import Intent, IntentModel
from llmrec.words.vocabulary import Mentions, Vocabulary

__all__ = ["Understanding", "Wish"]

_SURE = 0.3
"""By so much the first intent of a clause leads where it means something on its own."""
_ALONE = 0.5
"""So much a word that is a clause alone needs: “undo” is a wish, “sorry” is not."""
_OF_ITEMS = frozenset({"comment", "why", "why_not", "compare"})
"""Wishes that are about items, and not about what items should be like."""
_MOST_CLAUSES = 10
"""Whoever says more tells a story, and is heard as a whole."""
_LIKENESS = re.compile(
    r"\b(?:like|similar|sim\w*ar\w*|resembl\w+|style|kind|vibe|mood|lines|direction|stuff|comparable|close)\b"
)
_REFUSAL = re.compile(
    r"\b(?:no|not|nothing|none|don'?t|never|stop|less|fewer|tired|sick|enough|without|(?:any\w*|all) but|rather not)\b"
)


@dataclass(frozen=True, slots=True)
class Wish:
    """One thing that somebody wants.

    Args:
        intent: What.
        mentions: What it is about.
        text: The words that say so.
    """

    intent: Intent
    mentions: Mentions
    text: str


@dataclass(frozen=True)
class Understanding:
    """Reads utterances.

    Args:
        vocabulary: The names of the catalogue.
        intents: Knows what people want.
    """

    vocabulary: Vocabulary
    intents: IntentModel

    def wishes(self, text: str, shown: Sequence[str] = ()) -> list[Wish]:
        """What an utterance wants, in the order of its words; at least one wish.

        Args:
            text: The utterance.
            shown: The items on the list that the user looks at.
        """
        read = self.vocabulary.read(text, shown)
        clauses = read.clauses if 1 < len(read.clauses) <= _MOST_CLAUSES else ()
        apart = [(clause, self.vocabulary.read(clause, shown)) for clause in clauses]
        (whole, _), *heard = self._heard([(text, read), *apart], shown)
        parts = [part for part in heard if not _is_greeting(*part)]
        while len(parts) > 1 and not all(sure for _, sure in parts):
            # The first that is not sure belongs to the one before it, or to the next.
            place = max(1, [sure for _, sure in parts].index(False))
            joined = ", ".join(wish.text for wish, _ in parts[place - 1 : place + 1])
            parts[place - 1 : place + 1] = self._heard([(joined, self.vocabulary.read(joined, shown))], shown)
        several = [wish for wish, _ in parts if wish.intent != "help"]  # “if I may ask”
        greeted = len(parts) == 1 and parts[0][1] and len(heard) > 1
        return several if several and (greeted or _are_apart(several)) else [whole]

    def _heard(self, read: Sequence[tuple[str, Mentions]], shown: Sequence[str]) -> list[tuple[Wish, bool]]:
        """What each text wants, and whether it says so surely."""
        best = self.intents.best([mentions.masked for _, mentions in read])
        return [
            (Wish(told, self._named(told, text, mentions, shown), text), lead >= _least_lead(mentions))
            for (text, mentions), (intent, lead) in zip(read, best, strict=True)
            for told in (_with_sign(intent, mentions),)
        ]

    def _named(self, intent: Intent, text: str, mentions: Mentions, shown: Sequence[str]) -> Mentions:
        """Of words about an item only the values that stand there: a soundtrack that is praised asks for no musical."""
        if intent not in _OF_ITEMS or not (mentions.subjects and mentions.values):
            return mentions
        return self.vocabulary.read(text, shown, meanings=False)


def _is_greeting(wish: Wish, sure: bool) -> bool:
    return sure and wish.intent == "help"


def _least_lead(mentions: Mentions) -> float:
    """By so much the first intent of a clause must lead: a name alone wants nothing yet."""
    words = [word for word in mentions.masked.split() if word[0].isalnum()]
    said = [word for word in words if word != "Title"]
    return inf if not said else _ALONE if len(words) == 1 else _SURE


def _are_apart(wishes: Sequence[Wish]) -> bool:
    """Whether they are several wishes, not one in several words."""
    intents = {one.intent for one in wishes}
    if "other" in intents or intents == {"profile", "filter"}:
        return False  # “that's wrong, I don't like horror” corrects what is known
    if intents == {"why", "why_not"} and not all(one.mentions.subjects for one in wishes):
        return False  # “you left out Heat, why” is one question
    if intents in ({"more_like", "recommend"}, {"compare", "recommend"}):
        return False  # “if I liked Heat, what else would I like”
    if intents == {"more_like", "filter"} and not wishes[-1].mentions.subjects:
        return False  # “something like it but newer” is one wish
    if "comment" in intents and not any(one.mentions.subjects for one in wishes if one.intent == "comment"):
        intents -= {"comment"}  # “I'm bored, surprise me” is no comment on anything
    if len(intents) > 1:
        return True
    return wishes[0].intent == "comment" and all(one.mentions.subjects for one in wishes) and len(wishes) > 1


def _with_sign(intent: Intent, mentions: Mentions) -> Intent:
    """More or less of something: one word decides, which vectors of meaning hardly see."""
    if intent not in ("more_like", "less_like") or not _LIKENESS.search(mentions.masked):
        return intent
    return "less_like" if _REFUSAL.search(mentions.masked) else "more_like"
