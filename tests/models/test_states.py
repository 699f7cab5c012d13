"""Prefixes that were read before."""

from __future__ import annotations

import torch

from llmrec.models.states import PrefixStates, Read

PREFIX = tuple(range(100, 140))
BYTES = 2 * 2 * 4 * 40 * 3 * 4  # layers, keys and values, heads, tokens, width, bytes


def read(ids: tuple[int, ...]) -> Read:
    return Read(ids, [(torch.arange(len(ids) * 12.0).view(1, 4, -1, 3), torch.ones(1, 4, len(ids), 3))] * 2)


def test_the_longest_common_beginning_is_found_and_cut() -> None:
    states = PrefixStates(10 * BYTES)
    states.keep("", read(PREFIX))
    states.keep("", read((*PREFIX[:20], *range(20))))
    found = states.longest("", (*PREFIX[:30], 1, 2))
    assert found is not None
    assert found.ids == PREFIX[:30]
    assert torch.equal(found.layers[0][0], read(PREFIX).layers[0][0][:, :, :30])
    assert len(states) == 2


def test_too_little_in_common_is_nothing_and_so_are_other_weights() -> None:
    states = PrefixStates(10 * BYTES)
    states.keep("", read(PREFIX))
    assert states.longest("", (*PREFIX[:5], *range(40))) is None
    assert states.longest("adapter", PREFIX) is None


def test_what_was_not_asked_for_longest_is_let_go_and_the_bound_holds() -> None:
    states = PrefixStates(2 * BYTES + 1)
    first, second, third = (tuple(range(start, start + 40)) for start in (0, 100, 200))
    states.keep("", read(first))
    states.keep("", read(second))
    assert states.bytes == 2 * BYTES
    states.longest("", first)
    states.keep("", read(third))
    assert states.longest("", second) is None
    assert states.longest("", first) is not None
    assert states.bytes == 2 * BYTES


def test_what_all_users_have_in_common_keeps_the_newest_user_not_the_oldest() -> None:
    states = PrefixStates(2 * BYTES + 1)
    users = [(*PREFIX[:20], *range(start, start + 20)) for start in (0, 1000, 2000)]
    for ids in users:
        states.longest("", ids)  # as a request asks
        states.keep("", read(ids))
    kept = [states.longest("", ids) for ids in users]
    assert [one.ids == ids for one, ids in zip(kept, users, strict=True) if one] == [False, True, True]


def test_what_is_too_large_leaves_its_beginnings_where_they_are() -> None:
    states = PrefixStates(BYTES)
    states.keep("", read(PREFIX))
    states.keep("", read((*PREFIX, 1, 2)))
    found = states.longest("", PREFIX)
    assert found is not None
    assert found.ids == PREFIX


def test_what_is_too_large_is_not_kept() -> None:
    states = PrefixStates(BYTES - 1)
    states.keep("", read(PREFIX))
    assert (len(states), states.bytes) == (0, 0)


def test_a_beginning_of_what_is_kept_takes_no_room() -> None:
    states = PrefixStates(10 * BYTES)
    states.keep("", read(PREFIX[:20]))
    states.keep("other", read(PREFIX[:20]))
    states.keep("", read(PREFIX))
    assert len(states) == 2
    assert states.bytes == BYTES + BYTES // 2


def test_cleared_it_is_empty() -> None:
    states = PrefixStates(10 * BYTES)
    states.keep("", read(PREFIX))
    states.clear()
    assert states.longest("", PREFIX) is None
    assert states.bytes == 0
