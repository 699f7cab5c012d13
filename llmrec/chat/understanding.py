"""From an utterance to what is wanted: one or several intents, each with what it is about."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from llmrec.chat.intents import Intent, IntentModel
from llmrec.words.vocabulary import Mentions, Vocabulary

__all__ = ["Understanding", "Wish"]

_SURE = 0.16
"""By so much the first intent of a clause leads where the clause is taken apart from the others."""
_WHOLE = 0.6
"""An utterance whose first intent leads by so much is one wish, however many clauses it has."""
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
        whole = self.vocabulary.read(text, shown)
        parts = [self.vocabulary.read(clause, shown) for clause in whole.clauses] if len(whole.clauses) > 1 else []
        (intent, whole_lead), *of_parts = self.intents.best([one.masked for one in (whole, *parts)])
        found = [
            Wish(_with_sign(part_intent, mentions), mentions, clause) if lead >= _SURE else None
            for (part_intent, lead), mentions, clause in zip(of_parts, parts, whole.clauses, strict=False)
        ]
        several = [one for one in found if one is None or not _is_greeting(one)]
        sure = [one for one in several if one is not None]
        if whole_lead < _WHOLE and sure and len(sure) == len(several) and _are_apart(sure):
            return sure
        return [Wish(_with_sign(intent, whole), whole, text)]


def _are_apart(wishes: Sequence[Wish]) -> bool:
    """Whether they are several wishes, not one in several words."""
    intents = {one.intent for one in wishes}
    if "other" in intents or intents in ({"why", "why_not"}, {"profile", "filter"}):
        return False  # “that's wrong, I don't like horror” corrects what is known
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
