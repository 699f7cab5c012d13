"""Sequences keep their events together whatever is cut out of them."""

from dataclasses import replace

import numpy as np
import pytest

from llmrec.errors import DataError
from llmrec.evaluation import Interactions
from tests.evaluation.worlds import lists_of, ragged, taken


def test_a_sequence_without_some_events_keeps_order_and_columns() -> None:
    whole = replace(ragged([3, 1], [], [2, 0]), values=np.array([30.0, 10.0, 20.0, 0.0]), times=np.arange(4))
    part = whole.keep(np.array([False, True, True, True]))
    assert [list(rows) for rows in part] == [[1], [], [2, 0]]
    assert part.values is not None
    assert part.times is not None
    assert list(part.values) == [10, 20, 0]
    assert list(part.times) == [1, 2, 3]


def test_sequences_are_taken_in_any_order() -> None:
    part = replace(ragged([3, 1], [], [2, 0]), kinds=np.arange(4)).take(np.array([2, 0, 2]))
    assert [list(rows) for rows in part] == [[2, 0], [3, 1], [2, 0]]
    assert part.kinds is not None
    assert list(part.kinds) == [2, 3, 0, 1, 2, 3]


def test_ages_count_back_from_the_newest_event() -> None:
    assert list(ragged([5, 6, 7], [], [8]).ages) == [2, 1, 0, 0]


def test_between_cuts_every_sequence_at_its_own_places() -> None:
    part = ragged([1, 2, 3], [4, 5]).between(np.array([1, 0]), np.array([3, 1]))
    assert [list(rows) for rows in part] == [[2, 3], [4]]


def test_the_matrix_adds_up_weights() -> None:
    matrix = ragged([0, 2, 0], [1]).matrix(3, np.array([1.0, 2.0, 4.0, 8.0]))
    assert matrix.toarray().tolist() == [[5, 0, 2], [0, 8, 0]]


def test_users_and_items_can_be_put_in_the_order_of_their_ids() -> None:
    shop = taken({"bob": "rake pan", "ann": "pot"}, ("rake", "pot", "hose", "pan")).by_id()
    assert shop.user_ids == ("ann", "bob")
    assert shop.item_ids == ("hose", "pan", "pot", "rake")
    assert lists_of(shop.sequences, shop) == ["pot", "rake pan"]


def test_only_the_first_of_several_events_on_an_item_stays() -> None:
    shop = taken({"ann": "rake pan rake pot pan", "bob": "rake rake"})
    assert lists_of(shop.without_repeats().sequences, shop) == ["rake pan pot", "rake"]


def test_the_core_leaves_out_what_falls_below_when_others_have_gone() -> None:
    # dia goes because her items are rare; without her the pot has one event left, and so on.
    shop = taken({"ann": "rake pan", "bob": "rake pan", "cem": "rake pot", "dia": "pot knife"}).core(2)
    assert shop.user_ids == ("ann", "bob")
    assert shop.item_ids == ("pan", "rake")
    assert lists_of(shop.sequences, shop) == ["rake pan", "rake pan"]


def test_the_digest_changes_with_order_and_with_values() -> None:
    shop, other = taken({"ann": "rake pan"}), taken({"ann": "pan rake"})
    rated = shop.with_sequences(replace(shop.sequences, values=np.array([1.0, 2.0])))
    assert len({shop.sha256, other.sha256, rated.sha256}) == 3
    assert shop.sha256 == taken({"ann": "rake pan"}).sha256


def test_an_event_on_no_item_is_refused() -> None:
    with pytest.raises(DataError, match="outside of the catalogue"):
        Interactions(("ann",), ("rake",), ragged([0, 1]))


def test_every_user_needs_a_sequence() -> None:
    with pytest.raises(DataError, match="2 users have 1 sequences"):
        Interactions(("ann", "bob"), ("rake",), ragged([0]))
