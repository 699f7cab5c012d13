"""Baselines find what is obvious, for every user alone, and say when they cannot run."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from llmrec.errors import DataError, MissingExtraError, NotFittedError
from llmrec.evaluation import (
    Als,
    Ease,
    Popularity,
    System,
    TextOnly,
    baselines,
    interactions_from_sequences,
    leave_one_out,
    training_interactions,
)
from llmrec.evaluation.metrics import check_lists, list_accuracy
from llmrec.evaluation.systems import Scorer
from tests.evaluation.worlds import blocks, names, ragged, requests, taken

BLOCK = 8
WORDS = np.random.default_rng(7).normal(size=(2 * BLOCK, 12)).astype(np.float32)
WORDS[:BLOCK] += [4.0] + [0.0] * 11
WORDS[BLOCK:] += [0.0, 4.0] + [0.0] * 10

MAKERS: dict[str, Callable[[], System]] = {
    "popularity": Popularity,
    "ease": lambda: Ease(regularisation=100.0),
    "text": lambda: TextOnly(WORDS),
    "als": lambda: Als(factors=2, seed=3),
}
everyone = pytest.mark.parametrize("name", MAKERS)
personal = pytest.mark.parametrize("name", ["ease", "text", "als"])


@pytest.fixture(autouse=True)
def _als_is_installed(request: pytest.FixtureRequest) -> None:
    if "als" in request.node.name:
        pytest.importorskip("implicit")


def fitted(name: str) -> System:
    system = MAKERS[name]()
    system.fit(training_interactions(leave_one_out(blocks())))
    return system


@everyone
def test_lists_are_complete_and_without_what_was_met(name: str) -> None:
    split = leave_one_out(blocks())
    lists = fitted(name).rank(split.requests, 10)
    assert lists.shape == (60, 10)
    assert (lists >= 0).all()
    check_lists(lists, split.requests.histories, 2 * BLOCK)


@personal
def test_who_takes_from_one_block_gets_more_of_it(name: str) -> None:
    lists = fitted(name).rank(requests([0, 3, 5], [9, 12, 14]), 5)
    assert set(lists[0]) == set(range(BLOCK)) - {0, 3, 5}
    assert set(lists[1]) == set(range(BLOCK, 2 * BLOCK)) - {9, 12, 14}


@everyone
def test_permuting_users_changes_no_users_list(name: str) -> None:
    interactions = blocks()
    order = np.random.default_rng(5).permutation(len(interactions.user_ids))
    lists = []
    for same in (interactions, interactions.take_users(order)):
        split = leave_one_out(same)
        system = MAKERS[name]()
        system.fit(training_interactions(split))
        found = system.rank(split.requests, 8)
        lists.append({same.user_ids[user]: list(line) for user, line in zip(split.requests.users, found, strict=True)})
    assert lists[0] == lists[1]


@everyone
def test_a_list_does_not_depend_on_who_else_asks(name: str) -> None:
    system, some = fitted(name), leave_one_out(blocks()).requests
    alone = np.concatenate([system.rank(some.take(np.array([place])), 8) for place in range(len(some))])
    np.testing.assert_array_equal(system.rank(some, 8), alone)


@everyone
def test_the_score_of_an_item_orders_as_the_list_does(name: str) -> None:
    system, asked = fitted(name), requests([0, 3])
    assert isinstance(system, Scorer)
    lists = system.rank(asked, 6)[0]
    scores = system.score(asked, ragged(lists.tolist()))
    assert list(scores) == sorted(scores, reverse=True)


@everyone
def test_who_did_nothing_gets_what_is_popular(name: str) -> None:
    system, shop = MAKERS[name](), taken({"ann": "i1 i2 i3", "bob": "i2 i3", "cem": "i3"}, ("i1", "i2", "i3"))
    if name == "text":
        system = TextOnly(np.eye(3))
    system.fit(shop)
    assert names(shop, system.rank(requests([], []), 3)[1]) == "i3 i2 i1"


@everyone
def test_a_system_that_was_not_fitted_says_so(name: str) -> None:
    with pytest.raises(NotFittedError, match=name):
        MAKERS[name]().rank(requests([0]), 3)


def test_ease_is_the_formula_of_the_paper() -> None:
    shop = taken({"ann": "rake hose", "bob": "rake hose pan", "cem": "pan pot", "dia": "hose pot"})
    ease = Ease(regularisation=2.0)
    ease.fit(shop)
    x = shop.sequences.matrix(len(shop.item_ids)).toarray().astype(float)
    sold = x.any(axis=0)
    p = np.linalg.inv(x[:, sold].T @ x[:, sold] + 2.0 * np.eye(sold.sum()))
    b = np.eye(sold.sum()) - p / np.diag(p)
    row = shop.item_ids.index("rake")
    pan = [shop.item_ids.index("pan")]
    place = list(np.flatnonzero(sold))
    expected = b[place.index(row), place.index(pan[0])]
    assert ease.score(requests([row]), ragged(pan))[0] == pytest.approx(expected, abs=1e-6)
    assert ease.score(requests([row]), ragged([row]))[0] == 0


def test_in_ease_the_newest_event_counts_most() -> None:
    ease = Ease(regularisation=1.0, half_life=0.5)
    ease.fit(training_interactions(leave_one_out(blocks())))
    lists = ease.rank(requests([0, 9], [9, 0]), 3)
    assert (lists[0] >= BLOCK).all()
    assert (lists[1] < BLOCK).all()


def test_ease_leaves_rare_items_to_others() -> None:
    shop = taken({"ann": "rake hose pot", "bob": "rake hose", "cem": "rake hose"})
    ease = Ease(max_items=2)
    ease.fit(shop)
    rake, hose, pot = (shop.item_ids.index(name) for name in ("rake", "hose", "pot"))
    assert ease.score(requests([rake]), ragged([hose, pot]))[1] == 0
    assert ease.rank(requests([rake]), 1)[0][0] == hose


def test_the_text_score_is_a_cosine_that_leans_to_the_newest() -> None:
    text = TextOnly(np.array([[3.0, 0.0], [0.0, 2.0], [5.0, 0.0]]), half_life=1.0)
    text.fit(taken({"ann": "a b c"}, ("a", "b", "c")))
    scores = text.score(requests([0], [0, 1]), ragged([2, 1], [1]))
    assert list(scores) == pytest.approx([1, 0, 1 / np.sqrt(1.25)])


def test_text_needs_a_vector_for_every_item() -> None:
    with pytest.raises(DataError, match="3 vectors for 16 items"):
        TextOnly(np.eye(3)).fit(blocks())


def test_als_names_the_extra_that_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(baselines, "find_spec", lambda _: None)
    with pytest.raises(MissingExtraError, match="implicit") as missing:
        Als()
    assert "llmrec[als]" in missing.value.hint


def test_only_als_loads_the_extra() -> None:
    code = "import sys, llmrec.evaluation; print([m for m in ('implicit', 'matplotlib') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.slow
def test_ease_reproduces_its_figures_on_movielens_1m() -> None:
    folder = Path(__file__).parents[3] / "shared" / "data" / "ml-1m"
    if not folder.exists():
        pytest.skip("the data is not beside this checkout")
    split = leave_one_out(interactions_from_sequences(folder / "sequences.tsv", folder / "items.tsv"))
    ease = Ease()
    ease.fit(training_interactions(split))
    found = list_accuracy(ease.rank(split.requests, 20), split.targets, len(split.interactions.item_ids))
    assert found["recall@10"].mean() == pytest.approx(0.2131, abs=0.002)
    assert found["ndcg@10"].mean() == pytest.approx(0.1193, abs=0.002)
