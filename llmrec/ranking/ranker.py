"""From candidates to the language model's opinion: the prompt of a request, within its budget, and its scores.

The shared part (who, situation, history, question) is read once, each candidate continues it on its own. History is
trimmed oldest first until the shared part fits; the question is never cut, and foreign text is capped piece by piece:
a title, a description, an attribute with its name, a comment.

Asked for a choice, the model says Yes or No of each candidate. Asked for titles, no question is put: the score is how
much likelier the history makes the candidate's line than it is behind no history (pointwise mutual information, Church
and Hanks 1990), so that a title which is likely anyhow is no news, divided by the root of its tokens: they depend on
each other, so that twice as many do not say twice as much.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache
from itertools import chain, islice
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from llmrec.models import LanguageModel, PromptTree, Segment, flat
from llmrec.ranking.prompts import PromptLibrary, Slot
from llmrec.records import AttributeValue, Behaviour, Candidate, Event, History, Item, in_words

__all__ = ["Ask", "Ranker", "SharedPrompt"]

Ids = tuple[int, ...]
Ask = Literal["choice", "title"]

_UNTOLD = Behaviour((), 0.0)
_OFTEN = 0.02
"""Of what comes soon after an item, the share from which on another one follows it often."""
_COMMON = (0.5, 0.8, 0.95)
"""The shares of the items that are taken more seldom than one that is not rare, common, very common."""
_STEP = 5
_MANY = 20
"""Of a long history, where so many events fit, the oldest are trimmed several at once: most of the times that an event
is added nothing is trimmed, and all but its line was read before."""
_PRIORS = 200_000
"""Of so many lines it is kept how likely they are behind no history."""


@dataclass(frozen=True, slots=True)
class SharedPrompt:
    """The part of the prompt that all candidates share, in pieces: `head`, one line per event, `tail`.

    Args:
        head: Token ids before the history.
        lines: Token ids of each event that is left, oldest first.
        tail: Token ids after the history, the question among them.
        events: The events the lines are about.
        capped: How many pieces of foreign text were shortened; a list of attributes that was cut counts as one.
        emptied: Where a single event is known, the prompt without it, which says that there is none.
    """

    head: Ids
    lines: tuple[Ids, ...]
    tail: Ids
    events: tuple[Event, ...]
    capped: int
    emptied: SharedPrompt | None = None

    @property
    def ids(self) -> list[int]:
        """The whole of it."""
        return list(chain(self.head, *self.lines, self.tail))


class Ranker:
    """Asks a language model about candidates.

    Args:
        model: Scores token ids.
        prompts: The templates.
        history_tokens: Longest shared part; where the fixed words alone are longer, no event is left.
        text_tokens: Longest piece of foreign text.
        attributes: At most so many of an item, a user and a situation are told.
        ask: For what; see above.
    """

    def __init__(
        self,
        model: LanguageModel,
        prompts: PromptLibrary,
        *,
        history_tokens: int = 384,
        text_tokens: int = 32,
        attributes: int = 8,
        ask: Ask = "choice",
    ) -> None:
        self.model = model
        self.ask: Ask = ask
        self._template = "rank" if ask == "choice" else ask
        self.fingerprint = prompts.fingerprint(self._template)
        self._prompts = prompts
        self._priors: dict[Ids, float] = {}
        self._history_tokens = history_tokens
        self._text_tokens = text_tokens
        self._attributes = attributes
        self._foreign_ids = lru_cache(maxsize=100_000)(self._tokenize_foreign)
        self._trusted_ids = lru_cache(maxsize=1_000)(self._tokenize_trusted)

    def asking(self, model: LanguageModel, ask: Ask | None = None) -> Ranker:
        """The same prompts, put to another model; or for something else, if it is said."""
        return Ranker(
            model,
            self._prompts,
            history_tokens=self._history_tokens,
            text_tokens=self._text_tokens,
            attributes=self._attributes,
            ask=ask or self.ask,
        )

    @cached_property
    def beginning(self) -> list[int]:
        """The shared prompt of somebody of whom nothing is known."""
        return self.shared(History(), {}).ids

    def shared(
        self, history: History, items: Mapping[str, Item], context: Mapping[str, AttributeValue] | None = None
    ) -> SharedPrompt:
        """The shared prompt for a history; `items` holds at least the items its events are about."""
        user, user_cut = self._texts(history.user.about if history.user else {})
        situation, situation_cut = self._texts(context or {})
        known = bool(history.events)
        pieces = self._prompts.render(
            self._template, "shared", user=user, context=situation, history=Slot(), history_known=known
        )
        gap = next(place for place, piece in enumerate(pieces) if isinstance(piece, Slot))
        head, capped_head = self._encode(pieces[:gap])
        tail, capped_tail = self._encode(pieces[gap + 1 :])
        budget = self._history_tokens - len(head) - len(tail)
        lines, events, capped_lines = self._newest_lines(history, items, budget)
        capped = capped_head + capped_tail + capped_lines + user_cut + situation_cut
        emptied = self.shared(History(history.user), items, context) if len(history.events) == 1 else None
        return SharedPrompt(head, lines, tail, events, capped, emptied)

    def score(self, shared: SharedPrompt, candidates: Sequence[Candidate]) -> tuple[NDArray[np.float32], int]:
        """What the model thinks of each, float32 [candidates], and how many texts were capped.

        Asked for a choice, the log-odds that it is taken next; asked for titles, nats by the root of the tokens.

        Raises:
            ScoringError: The model failed.
        """
        encoded = [self.candidate(one) for one in candidates]
        suffixes = [ids for ids, _ in encoded]
        if self.ask == "title" and suffixes:
            scores = self._likelier([flat(shared.ids, suffixes, written=True)], suffixes)
        else:
            scores = self.model.score(shared.ids, suffixes)
        return scores, sum(capped for _, capped in encoded)

    def score_without_each(self, shared: SharedPrompt, candidate: Candidate) -> NDArray[np.float32]:
        """What `score` would be without each of the newest events, float32, oldest of them first.

        There is one for every line of the prompt; and one for a single known event even where its line did not fit,
        because without it the prompt says that nothing is known. Nothing moves into the gap, and the candidate does
        not say any more that it follows what is gone. The prompts are read as branches of what they share.

        Raises:
            ScoringError: The model failed.
        """
        if shared.emptied is not None:
            return self.score(shared.emptied, [replace(candidate, behaviour=None)])[0]
        lines = shared.lines
        if not lines:
            return np.zeros(0, np.float32)
        # All of these begin as the whole prompt does, so what they share with it is read once.
        begun = [tuple(chain(shared.head, *lines[:gone])) for gone in range(len(lines))]
        rests = [tuple(chain(*lines[gone + 1 :], shared.tail)) for gone in range(len(lines))]
        if self.ask == "title":
            line, _ = self.candidate(candidate)
            leaf = PromptTree(line, (), written=True)
            trees = [
                PromptTree(before, (PromptTree(rest, (leaf,)) if rest else leaf,))
                for before, rest in zip(begun, rests, strict=True)
            ]
            return self._likelier(trees, [line] * len(trees))
        asked = self._without_each(shared.events, candidate)
        return self.model.score_trees(
            [flat(before, [(*rest, *ids)]) for before, rest, ids in zip(begun, rests, asked, strict=True)]
        )

    def _likelier(self, trees: Sequence[PromptTree], lines: Sequence[Ids]) -> NDArray[np.float32]:
        """How much likelier lines, the trees' leaves, are there than behind no history, float32 [lines].

        By the root of their tokens.
        """
        # Another thread may clear what is kept at any time.
        known = {ids: prior for ids in lines if (prior := self._priors.get(ids)) is not None}
        unknown = [ids for ids in dict.fromkeys(lines) if ids not in known]
        alone = [flat(self.beginning, unknown, written=True)] if unknown else []
        scores = self.model.score_trees([*trees, *alone])
        known.update(zip(unknown, scores[len(lines) :].tolist(), strict=True))
        if len(self._priors) > _PRIORS:
            self._priors.clear()
        self._priors.update(known)
        a_token = scores[: len(lines)] - np.array([known[ids] for ids in lines], dtype=np.float32)
        return a_token * np.sqrt([len(ids) for ids in lines], dtype=np.float32)

    def _newest_lines(
        self, history: History, items: Mapping[str, Item], budget: int
    ) -> tuple[tuple[Ids, ...], tuple[Event, ...], int]:
        kept: list[tuple[Ids, Event, int]] = []
        for event in reversed(history.events):
            line, shortened = self._line(event, items)
            budget -= len(line)
            if budget < 0:
                break
            kept.append((line, event, shortened))
        kept = kept[: len(kept) - _spared(history.known, len(kept))][::-1]
        return tuple(one[0] for one in kept), tuple(one[1] for one in kept), sum(one[2] for one in kept)

    def _line(self, event: Event, items: Mapping[str, Item]) -> tuple[Ids, int]:
        title = items[event.item_id].title if event.item_id else ""
        value = "" if event.value is None else f"{event.value:g}"
        return self._encode(
            self._prompts.render(
                self._template, "event", kind=event.kind, title=title, value=value, text=event.text or ""
            )
        )

    def _without_each(self, events: Sequence[Event], candidate: Candidate) -> Iterator[Ids]:
        """The candidate's token ids without each of the events; one that is there twice is not gone."""
        told = candidate.behaviour
        times = Counter(event.item_id for event in events)
        for event in events:
            left = told
            if told is not None and event.item_id is not None and times[event.item_id] == 1:
                left = told.without(event.item_id)
            yield self.candidate(replace(candidate, behaviour=left))[0]

    def candidate(self, candidate: Candidate) -> tuple[Ids, int]:
        """The token ids that continue the shared prompt with an item, and how many of its texts were capped."""
        item, told = candidate.item, candidate.behaviour or _UNTOLD
        if self.ask == "title":
            return self._encode(self._prompts.render("title", "candidate", title=item.title))
        about, cut = self._texts(item.attributes)
        pieces = self._prompts.render(
            "rank",
            "candidate",
            title=item.title,
            about=about,
            description=item.description.strip(),
            often=[one.title for one, share in told.follows if share >= _OFTEN],
            sometimes=[one.title for one, share in told.follows if share < _OFTEN],
            common=0 if candidate.behaviour is None else 1 + int(np.searchsorted(_COMMON, told.above, "right")),
        )
        ids, capped = self._encode(pieces)
        return ids, capped + cut

    def _encode(self, pieces: Sequence[Segment | Slot]) -> tuple[Ids, int]:
        """Concatenated ids of segments that were tokenised apart, and how many of them were capped."""
        encoded = [
            (self._trusted_ids(piece.text), False) if piece.trusted else self._foreign_ids(piece.text)
            for piece in pieces
            if isinstance(piece, Segment)
        ]
        return tuple(chain.from_iterable(ids for ids, _ in encoded)), sum(capped for _, capped in encoded)

    def _texts(self, attributes: Mapping[str, AttributeValue]) -> tuple[list[str], bool]:
        """One text for each attribute, so that a long one cannot hide the others, and whether some were left out."""
        texts = [in_words({name: value}) for name, value in islice(attributes.items(), self._attributes)]
        return texts, 0 < len(texts) < len(attributes)

    def _tokenize_trusted(self, text: str) -> Ids:
        return tuple(self.model.tokenize(Segment(text, trusted=True)))

    def _tokenize_foreign(self, text: str) -> tuple[Ids, bool]:
        ids, capped = self.model.cap(text, self._text_tokens)
        return tuple(ids), capped


def _spared(known: int, fitting: int) -> int:
    """How many more events are trimmed than must be, of a history of which so many are known and fit."""
    return -(known - fitting) % _STEP if _MANY <= fitting < known else 0
