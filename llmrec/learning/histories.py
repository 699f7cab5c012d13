"""What users did, as texts to learn from: every token of a history is a target, not one choice alone."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import groupby
from operator import attrgetter

import numpy as np

from llmrec.fitting import Fit, FittedRetriever, items_of
from llmrec.learning.crossfit import held_users, is_known, without_newest
from llmrec.learning.examples import Example, text_examples
from llmrec.learning.scrubbing import scrub_by
from llmrec.learning.transcripts import teachable, teachable_user
from llmrec.ranking import Ranker
from llmrec.records import Event, History, User

__all__ = ["history_examples"]


def history_examples(fit: Fit, served: FittedRetriever, snapshot: int, ranker: Ranker, epoch: int = 0) -> list[Example]:
    """Histories of users drawn at random, up to `[learning] title_tokens`; of each as much as the prompt holds.

    Whom validation asks about is told of without what it asks, and without what came later.

    Args:
        fit: What may be known.
        served: Its requests are for validation.
        snapshot: The last event to learn from.
        ranker: Writes the histories, as when it serves.
        epoch: Each draws users anew.
    """
    wanted = fit.settings.learning
    histories = list(_histories(fit, served, snapshot))
    generator = np.random.default_rng(fit.settings.fit.seed)
    for _ in range(epoch + 1):
        order = generator.permutation(len(histories))
    drawn = [histories[place] for place in order]
    found, tokens = list[Example](), 0
    for example in text_examples(drawn, ranker, fit.catalogue.items, wanted.tree_tokens):
        found.append(example)
        tokens += example.tree.tokens
        if tokens >= wanted.title_tokens:
            break
    return found


def _histories(fit: Fit, served: FittedRetriever, snapshot: int) -> Iterator[History]:
    scrub, held = scrub_by(fit.settings.learning), held_users(served)
    longest = fit.settings.retrieval.history_events
    known = (one for one in fit.store.events_to_learn_from() if is_known(fit, one, snapshot))
    for user_id, of_user in groupby(known, key=attrgetter("user_id")):
        events: list[Event] = list(of_user)
        told = tuple(teachable(without_newest(events) if user_id in held else events, scrub))
        user = teachable_user(fit.store.user(user_id) or User(user_id), scrub)
        yield History(user, told[-longest:], items_of(told), len(told))
