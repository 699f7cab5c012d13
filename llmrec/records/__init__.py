"""The values that flow through llmrec. All are frozen and checked where they are made, so no later stage checks again.

Ids are strings. Times are aware and in UTC. `score` is in log-odds and is the sum of `parts`.
"""

from llmrec.records.answers import (
    Behaviour,
    Candidate,
    Evidence,
    Explanation,
    RankedItem,
    RankedList,
    Recommendation,
    Trace,
)
from llmrec.records.checks import AttributeValue, checked_attributes, in_words
from llmrec.records.facts import Event, History, Item, User
from llmrec.records.shown import Shown, ShownItem

__all__ = [
    "AttributeValue",
    "Behaviour",
    "Candidate",
    "Event",
    "Evidence",
    "Explanation",
    "History",
    "Item",
    "RankedItem",
    "RankedList",
    "Recommendation",
    "Shown",
    "ShownItem",
    "Trace",
    "User",
    "checked_attributes",
    "in_words",
]
