"""Scores for a user whose history says nothing about any item: from words, from attributes, else from popularity.

Everything is one estimate of how often each item is taken: its share of all events, moved towards the share among users
who share an attribute, and towards the items whose text is near to the words that were given.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from scipy.special import log_softmax

from llmrec.models import Encoder
from llmrec.records import AttributeValue, Event, History, User, in_words
from llmrec.retrieval.catalogue import Catalogue
from llmrec.retrieval.groups import Popularity, UserGroup, traits_of
from llmrec.retrieval.index import inner_products
from llmrec.retrieval.spaces import COSINE_LOG_ODDS, Space, decayed_mean

__all__ = ["ColdStart", "wishes"]

Floats = NDArray[np.float64]

_WISHES = 10
"""How many of the newest texts are read: each costs a pass of the text encoder."""

_REMEMBERED = 1_000

_GROUP_PRIOR = 1_000.0
"""Events that everybody's shares are worth beside a group's own; on MovieLens-100K anything from 100 to 3000 does."""


class ColdStart:
    """Scores of all items for somebody without a history; made once for a release and a catalogue.

    Args:
        catalogue: The items, as they are now.
        space: What a history is scored in; a score here is a log chance in the same unit.
        popularity: Events on each item, and what groups of users took.
        encoder: Embeds the words; None: they are not read.
        half_life: Words said this many times ago count half as much as the newest.
        is_against: Whether a comment is against what it speaks of, and so no wish; None: every one is a wish.
    """

    def __init__(
        self,
        catalogue: Catalogue,
        space: Space,
        popularity: Popularity,
        encoder: Encoder | None,
        half_life: float,
        *,
        is_against: Callable[[str], bool] | None = None,
    ) -> None:
        self._is_against = is_against
        self._item_ids = list(catalogue.items)
        self._rows = {item_id: row for row, item_id in enumerate(self._item_ids)}
        self._by_id = np.array(sorted(range(len(self._item_ids)), key=self._item_ids.__getitem__), dtype=np.int64)
        self._texts = catalogue.index
        self._space = space
        # One event more granted to each item, so that a new one is unlikely, not impossible.
        self._events = np.array([popularity.counts.get(item_id, 0) + 1.0 for item_id in self._item_ids])
        self._groups = {(group.name, group.value): group for group in popularity.groups}
        # One by one: a text's vector depends on no company, and an explanation asks for the same texts many times.
        self._embed = lru_cache(_REMEMBERED)(lambda text: encoder.encode([text])[0]) if encoder else None
        self._half_life = half_life

    def scores(self, history: History, context: Mapping[str, AttributeValue]) -> tuple[Floats, str]:
        """The score of each item, [items] in the catalogue's order, and the path: words, attributes or popularity."""
        events, path = self._expected(history.user)
        said, _ = wishes(history, context, self._is_against)
        if self._embed is not None and said:
            query = decayed_mean(np.stack([self._embed(text) for text in said]), self._half_life)
            if query is not None:
                # Bayes' rule: the shares are the prior, the cosine is the log-likelihood of the words.
                likelihoods = COSINE_LOG_ODDS * inner_products(self._texts.vectors, query).astype(np.float64)
                return self._scaled(np.log(events) + likelihoods), "words"
        return self._scaled(np.log(events)), path

    def _scaled(self, logits: Floats) -> Floats:
        """Logits of what is taken next as log chances, in the unit of the space's scores."""
        scores: Floats = log_softmax(logits) / self._space.prior_weight
        return scores

    def reads(self, history: History, context: Mapping[str, AttributeValue]) -> tuple[Event, ...]:
        """The events that the scores rest on."""
        return () if self._embed is None else tuple(wishes(history, context, self._is_against)[1])

    def of(self, scores: Floats, item_ids: Sequence[str]) -> list[float]:
        """The scores of these items, in the order given."""
        return [float(scores[self._rows[item_id]]) for item_id in item_ids]

    def best(
        self, scores: Floats, k: int, *, among: Collection[str] | None = None, excluded: Collection[str] = ()
    ) -> list[tuple[str, float]]:
        """The k items with the highest scores, best first; equal ones in the order of their ids."""
        allowed = np.full(len(self._item_ids), among is None)
        if among is not None:
            allowed[self._texts.rows_of(among)] = True
        allowed[[self._rows[item_id] for item_id in excluded if item_id in self._rows]] = False
        rows = self._by_id[allowed[self._by_id]]
        chosen = rows[np.argsort(-scores[rows], kind="stable")[:k]]
        return [(self._item_ids[row], float(scores[row])) for row in chosen]

    def _expected(self, user: User | None) -> tuple[Floats, str]:
        """How many events each item has, or would have if all users were like this one; and the path."""
        traits = traits_of(user.attributes) if user else []
        groups = [self._groups[trait] for trait in traits if trait in self._groups]
        if not groups:
            return self._events, "popularity"
        # A linear pool (Stone 1961): attributes that go together are not counted twice, as a product would.
        shares: Floats = np.mean([self._shares_in(group) for group in groups], axis=0)
        return shares * self._events.sum(), "attributes"

    def _shares_in(self, group: UserGroup) -> Floats:
        """Each item's share of a group's events, with everybody's as Dirichlet prior (MacKay and Peto 1995)."""
        everybody = self._events / self._events.sum()
        counts = {self._rows[item_id]: count for item_id, count in group.items.items() if item_id in self._rows}
        rows, own = np.fromiter(counts, np.int64), np.fromiter(counts.values(), np.float64)
        others = 1 - everybody[rows].sum()
        unnamed = (group.events - own.sum()) / others if others > 0 else 0.0
        shares: Floats = everybody * (_GROUP_PRIOR + unnamed)
        shares[rows] = everybody[rows] * _GROUP_PRIOR + own
        return shares / (_GROUP_PRIOR + group.events)


def wishes(
    history: History, context: Mapping[str, AttributeValue], is_against: Callable[[str], bool] | None = None
) -> tuple[list[str], list[Event]]:
    """Words that say what is wanted, newest first: the situation's, then what the user said about no item.

    Numbers and truth values of the situation mean nothing to a text encoder without a catalogue that has the same.

    Returns:
        The words, `_WISHES` at most, and the events that said them.
    """
    situation = in_words({name: value for name, value in context.items() if isinstance(value, str | tuple)})
    given = [situation] if situation.strip() else []
    wished = (event for event in reversed(history.events) if _is_wish(event))
    said = [
        event for event in wished if event.kind != "comment" or is_against is None or not is_against(str(event.text))
    ][: _WISHES - len(given)]
    return [*given, *(str(event.text) for event in said)], said


def _is_wish(event: Event) -> bool:
    return event.item_id is None and bool(str(event.text).strip()) and event.is_behaviour and not event.is_negative
