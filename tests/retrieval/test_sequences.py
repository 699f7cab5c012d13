"""Events as arrays: what is unknown stays unknown, what is known is the same in training and serving."""

from datetime import UTC, datetime, timedelta

import numpy as np

from llmrec import Event
from llmrec.retrieval.sequences import GAP_BUCKETS, EventVocabulary, batches_by_length, gap_buckets

START = datetime(2024, 5, 1, tzinfo=UTC)
ROWS = {"a": 0, "b": 1, "c": 2}


def test_events_become_rows_kinds_values_and_gaps() -> None:
    vocabulary = EventVocabulary.of(["view", "rating", "rating"], np.array([np.nan, 2.0, 4.0]))
    events = [
        Event("u", "b", "rating", value=4.0, timestamp=START),
        Event("u", "gone", "view", timestamp=START),
        Event("u", "a", "view", timestamp=START + timedelta(seconds=3)),
        Event("u", "c", "lent", timestamp=START + timedelta(days=1)),
    ]
    arrays = vocabulary.arrays(events, ROWS)
    assert arrays.rows.tolist() == [1, 0, 2]
    assert arrays.kinds.tolist() == [1, 2, 0]
    assert arrays.values.tolist() == [1.0, 0.0, 0.0]
    assert arrays.has_value.tolist() == [1.0, 0.0, 0.0]
    assert arrays.gaps.tolist() == [1, 2, 9]


def test_without_times_the_gap_is_unknown_and_gaps_are_bounded() -> None:
    assert gap_buckets(np.array([np.nan, np.nan])).tolist() == [0, 0]
    assert gap_buckets(np.array([0.0, 1e12])).tolist() == [1, GAP_BUCKETS - 1]
    assert gap_buckets(np.array([5.0, 1.0])).tolist() == [1, 1]
    assert gap_buckets(np.zeros(0)).tolist() == []


def test_no_event_is_an_empty_array() -> None:
    assert len(EventVocabulary().arrays([], ROWS)) == 0


def test_every_sequence_is_in_one_batch_and_companions_are_of_like_length() -> None:
    lengths = np.random.default_rng(0).integers(1, 200, 500)
    batches = list(batches_by_length(lengths, 32, np.random.default_rng(1)))
    assert sorted(np.concatenate(batches).tolist()) == list(range(500))
    padded = sum(len(batch) * lengths[batch].max() for batch in batches)
    assert padded < 1.4 * lengths.sum()


def test_an_encoder_of_bare_events_reads_nothing_but_their_items() -> None:
    vocabulary = EventVocabulary.of(["view", "view"], np.array([np.nan, np.nan]), timed=False)
    events = [
        Event("u", "b", "rating", value=4.0, timestamp=START),
        Event("u", "a", "view", timestamp=START + timedelta(days=3)),
    ]
    arrays = vocabulary.arrays(events, ROWS)
    assert arrays.rows.tolist() == [1, 0]
    assert arrays.kinds.tolist() == [1, 1]
    assert not arrays.has_value.any()
    assert not arrays.values.any()
    assert not arrays.gaps.any()
    # Where anything was known beside the item, it is read.
    timed = EventVocabulary.of(["view", "view"], np.array([np.nan, np.nan]))
    valued = EventVocabulary.of(["view", "view"], np.array([1.0, 5.0]), timed=False)
    assert timed.arrays(events, ROWS).gaps.any()
    assert valued.arrays(events, ROWS).values.any()
