"""Lists become short lists with importance weights, and one user's lists share a tree without changing a prompt."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
import pytest
from scipy.special import logsumexp

from llmrec import Event, History, Item, User
from llmrec.learning.examples import Example, draw, examples_of, whole_example
from llmrec.learning.lessons import fingerprint_of
from llmrec.ranking import HeldOutRequest, PromptLibrary, Ranker
from llmrec.records import Candidate
from llmrec.testing import OverlapLanguageModel

ITEMS = {f"i{place}": Item(f"i{place}", f"Title number {place}") for place in range(40)}
SCORES = np.linspace(0, -5, 30)


@pytest.fixture
def ranker() -> Ranker:
    return Ranker(OverlapLanguageModel(), PromptLibrary(None), history_tokens=120)


def requests_of(user_id: str, *, events: int, lists: int) -> list[HeldOutRequest]:
    """Of a user who took i0, i1, i2 and so on: the last lists, each with what came next among five candidates."""
    happened = tuple(Event(user_id, f"i{place}", "purchase", event_id=f"{user_id}{place}") for place in range(events))
    return [
        HeldOutRequest(
            History(User(user_id), happened[:place], known=place),
            happened[place],
            tuple(Candidate(ITEMS[f"i{place + step}"], -float(step)) for step in (3, 1, 0, 2, 4)),
            taken=2,
        )
        for place in range(events - lists, events)
    ]


def made(ranker: Ranker, requests: list[HeldOutRequest], *, others: int = 3, longest: int = 10_000) -> list[Example]:
    generator = np.random.default_rng(0)
    return list(examples_of(requests, ranker, ITEMS, others=others, longest=longest, generator=generator))


def test_what_was_taken_comes_first_and_the_likelier_others_are_drawn_more_often() -> None:
    generator = np.random.default_rng(0)
    drawn = np.zeros(30)
    for _ in range(500):
        places, offsets = draw(SCORES, 4, 7, generator)
        assert (places[0], offsets[0]) == (4, SCORES[4])
        assert len(set(places.tolist())) == 8
        drawn[places[1:]] += 1
    assert drawn[0] > 2 * drawn[29] > 0


def test_a_short_lists_sum_is_the_whole_lists_on_the_whole() -> None:
    """What the items drawn stand for adds up to all of them, whatever the model says of each."""
    generator = np.random.default_rng(0)
    odds = np.random.default_rng(1).normal(size=30)
    whole = np.exp(SCORES + odds).sum()
    drawn = (draw(SCORES, 4, 7, generator) for _ in range(4000))
    sums = [np.exp(offsets + odds[places]).sum() for places, offsets in drawn]
    assert np.mean(sums) == pytest.approx(whole, rel=0.03)


def test_where_there_are_few_others_the_list_is_whole() -> None:
    places, offsets = draw(SCORES[:5], 2, 7, np.random.default_rng(0))
    assert sorted(places.tolist()) == [0, 1, 2, 3, 4]
    assert logsumexp(offsets) == pytest.approx(logsumexp(SCORES[:5]))


def test_lists_of_a_user_share_a_tree_and_every_prompt_is_the_served_one(ranker: Ranker) -> None:
    requests = requests_of("ann", events=6, lists=3)
    (example,) = made(ranker, requests)
    assert example.lengths == (4, 4, 4)
    assert example.tree.leaves == len(example.offsets) == 12
    served = {
        (*ranker.shared(one.before, ITEMS).ids, *ranker.candidate(candidate)[0])
        for one in requests
        for candidate in one.candidates
    }
    prompts = list(example.tree.prompts())
    assert set(prompts) <= served
    firsts = [prompts[place] for place in (0, 4, 8)]
    assert firsts == [
        (
            *ranker.shared(one.before, ITEMS).ids,
            *ranker.candidate(Candidate(ITEMS[f"i{len(one.before.events)}"], 0.0))[0],
        )
        for one in requests
    ]
    assert example.tree.tokens < sum(map(len, prompts)) / 2


def test_of_a_long_history_the_lists_begin_with_the_same_event(ranker: Ranker) -> None:
    requests = requests_of("ann", events=30, lists=4)
    (example,) = made(ranker, requests)
    assert example.lengths == (4, 4, 4, 4)
    assert example.trimmed == 4
    newest = ranker.shared(requests[-1].before, ITEMS)
    assert len(newest.lines) < 29
    prompts = list(example.tree.prompts())
    assert prompts[-1][: len(newest.ids)] == tuple(newest.ids)
    assert all(prompt[: len(newest.head)] == newest.head for prompt in prompts)


def test_a_tree_is_no_longer_than_it_may_be(ranker: Ranker) -> None:
    requests = requests_of("ann", events=8, lists=4)
    whole = made(ranker, requests)[0].tree.tokens
    some = made(ranker, requests, longest=whole - 1)
    assert len(some) == 2
    assert all(example.tree.tokens < whole for example in some)
    assert len(made(ranker, requests, longest=1)) == 4


def test_users_have_trees_of_their_own(ranker: Ranker) -> None:
    requests = requests_of("ann", events=5, lists=2) + requests_of("bob", events=5, lists=2)
    assert [example.lengths for example in made(ranker, requests)] == [(4, 4), (4, 4)]


def test_a_validation_list_is_whole_with_the_retrievers_own_scores(ranker: Ranker) -> None:
    (request,) = requests_of("ann", events=5, lists=1)
    example = whole_example(request, ranker, ITEMS)
    assert example.lengths == (5,)
    assert example.offsets.tolist() == [0, -3, -1, -2, -4]


def test_other_words_have_another_fingerprint(ranker: Ranker) -> None:
    requests = requests_of("ann", events=5, lists=2)

    def told(some: Sequence[HeldOutRequest], items: Mapping[str, Item] = ITEMS) -> str:
        return fingerprint_of([whole_example(one, ranker, items) for one in some])

    assert told(requests) == told(requests_of("ann", events=5, lists=2))
    assert told(requests) != told(requests[:1])
    assert told([one.weighed(2.0) for one in requests]) == told(requests)  # scores are computed anew, and may differ
    renamed = {key: replace(item, title=f"{item.title}, renamed") for key, item in ITEMS.items()}
    assert told(requests, renamed) != told(requests)
