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
_GREETING_WORDS = 3
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
        clauses = self.vocabulary.read(text, shown).clauses
        (whole, _), *parts = self._heard([text, *(clauses if len(clauses) > 1 else ())], shown)
        while len(parts) > 1 and not all(sure for _, sure in parts):
            parts = self._heard(_joined([(wish.text, sure) for wish, sure in parts]), shown)
        several = [wish for wish, _ in parts if not _is_greeting(wish)]
        return several if several and _are_apart(several) else [whole]

    def _heard(self, texts: Sequence[str], shown: Sequence[str]) -> list[tuple[Wish, bool]]:
        """What each text wants, and whether it says so surely."""
        mentions = [self.vocabulary.read(text, shown) for text in texts]
        best = self.intents.best([one.masked for one in mentions])
        return [
            (Wish(_with_sign(intent, one), one, text), lead >= _least_lead(one))
            for text, one, (intent, lead) in zip(texts, mentions, best, strict=True)
        ]


def _least_lead(mentions: Mentions) -> float:
    """By so much the first intent of a clause must lead: a name alone wants nothing yet."""
    words = [word for word in mentions.masked.split() if word[0].isalnum()]
    said = [word for word in words if word != "Title"]
    return inf if not said else _ALONE if len(words) == 1 else _SURE


def _joined(clauses: Sequence[tuple[str, bool]]) -> list[str]:
    """The clauses, the first that is not sure joined with the one before it, or with the next."""
    texts = [text for text, _ in clauses]
    place = max(1, [sure for _, sure in clauses].index(False))
    return [*texts[: place - 1], f"{texts[place - 1]}, {texts[place]}", *texts[place + 1 :]]


def _are_apart(wishes: Sequence[Wish]) -> bool:
    """Whether they are several wishes, not one in several words."""
    intents = {one.intent for one in wishes}
    if "other" in intents or intents == {"profile", "filter"}:
        return False  # “that's wrong, I don't like horror” corrects what is known
    if intents == {"why", "why_not"} and not all(one.mentions.subjects for one in wishes):
        return False  # “you left out Heat, why” is one question
    if intents == {"more_like", "filter"} and not wishes[-1].mentions.subjects:
        return False  # “something like it but newer” is one wish
    if "comment" in intents and not any(one.mentions.subjects for one in wishes if one.intent == "comment"):
        intents -= {"comment"}  # “I'm bored, surprise me” is no comment on anything
    if len(intents) > 1:
        return True
    return wishes[0].intent == "comment" and all(one.mentions.subjects for one in wishes) and len(wishes) > 1


def _is_greeting(wish: Wish) -> bool:
    return wish.intent == "help" and len(wish.text.split()) <= _GREETING_WORDS


def _with_sign(intent: Intent, mentions: Mentions) -> Intent:
    """More or less of something: one word decides, which vectors of meaning hardly see."""
    if intent not in ("more_like", "less_like") or not _LIKENESS.search(mentions.masked):
        return intent
    return "less_like" if _REFUSAL.search(mentions.masked) else "more_like"
