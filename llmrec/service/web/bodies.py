"""What requests hold. Only their shape is checked here; what the values may be is checked by llmrec itself."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    FiniteFloat,
    StrictBool,
    StrictInt,
    StrictStr,
    model_validator,
)

from llmrec.records import Event

__all__ = [
    "SLASH",
    "ChatBody",
    "EventBody",
    "EventsBody",
    "ExplainBody",
    "PathId",
    "RankBody",
    "RecommendBody",
    "ThumbBody",
]

_MOST = 1_000
_FEW = 50
Id = Annotated[StrictStr, Field(min_length=1, max_length=256, examples=["42"])]
SLASH = "\ue000"
"""Stands for a slash within an id while a path is taken apart; a character that is nobody's."""
PathId = Annotated[str, AfterValidator(lambda given: given.replace(SLASH, "/"))]
Text = Annotated[StrictStr, Field(max_length=100_000)]
Value = StrictStr | StrictBool | StrictInt | FiniteFloat
Situation = Annotated[
    dict[Annotated[str, Field(max_length=200)], Value | Annotated[list[Value], Field(max_length=_FEW)]] | None,
    Field(max_length=_FEW, description="The situation in words.", examples=[{"season": "winter"}]),
]


class _Body(BaseModel):
    model_config = ConfigDict(extra="forbid", use_attribute_docstrings=True)

    @model_validator(mode="before")
    @classmethod
    def _few_names(cls, given: Any) -> Any:
        # Each name that is not known would be an error of its own.
        if isinstance(given, dict) and len(given) > _FEW:
            raise ValueError(f"{len(given)} names are more than there are")
        return given


class RecommendBody(_Body):
    """A wish for a list."""

    user_id: Id
    """Stored or not: who is unknown gets what the situation, or popularity, says."""
    n: StrictInt = 10
    """How many items, 1 to 1,000."""
    context: Situation = None
    where: dict[str, Any] | None = Field(
        None, max_length=_FEW, examples=[{"genres": ["Comedy", "Drama"], "year": {"min": 1990}}]
    )
    """Attribute -> a value, several of which any one is wanted, or a mapping with some of any, not, min, max."""
    llm: StrictBool | None = None
    """Whether the language model ranks; null: as configured."""
    filter_seen: StrictBool | None = None
    """Whether to leave out items the user has met; null: as configured."""
    diversity: FiniteFloat | None = None
    """From 0, the order of the scores, to 1: how much variety counts; null: as configured."""
    exclude: Annotated[list[Id], Field(max_length=10 * _MOST)] = []
    """Items to leave out."""
    like: Id | None = None
    """An item; only those whose texts are nearest to its own are ranked."""
    release: Id | None = None
    """A release that answers; null: the live one."""


class RankBody(_Body):
    """Items to order."""

    candidates: Annotated[list[Id], Field(min_length=1, max_length=_MOST)]
    """Item ids, each once."""
    history: Annotated[list[Id], Field(max_length=_MOST)] | None = None
    """Item ids, newest last; null: the stored history of the user."""
    user_id: Id | None = None
    context: Situation = None
    llm: StrictBool | None = None
    release: Id | None = None


class ExplainBody(_Body):
    """Which score is to be explained."""

    user_id: Id
    item_id: Id
    context: Situation = None
    release: Id | None = None


class EventBody(_Body):
    """What a user did or said."""

    user_id: Id
    item_id: Id | None = None
    """Null for a search, say."""
    kind: Id = "like"
    """view, click, like, dislike, hide, rating, purchase, search, comment, impression, or a word of your own."""
    value: FiniteFloat | None = None
    """The stars of a rating."""
    text: Text | None = None
    """What was said or searched for."""
    timestamp: datetime | None = None
    """With a time zone; null: now."""
    event_id: Id | None = None
    """Yours: sending it again changes nothing."""
    recommendation_id: Id | None = None
    """The list it answers."""

    def event(self) -> Event:
        """The record.

        Raises:
            DataError: A value cannot be.
        """
        return Event(**self.model_dump())


class EventsBody(_Body):
    """Several of them, all or none."""

    events: Annotated[list[EventBody], Field(min_length=1, max_length=_MOST)]


class ChatBody(_Body):
    """A turn of a conversation."""

    user_id: Id
    message: Text
    """What is said; of more than 2,000 characters the first are read."""
    conversation_id: Id | None = None
    """Which conversation goes on; null: a new one."""
    n: StrictInt = 5
    """How many items a list has."""
    stream: StrictBool = True
    """Server-sent events start, working, delta and reply; false: the reply as JSON."""
    release: Id | None = None


class ThumbBody(_Body):
    """What the user thinks of a reply."""

    user_id: Id
    up: StrictBool | None
    """Null takes it back."""
