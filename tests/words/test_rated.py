"""Which comments say how comments sound."""

from llmrec import Event
from llmrec.words import rated_comments


def stored(*events: Event) -> list[Event]:
    return [
        Event(one.user_id, one.item_id, one.kind, value=one.value, text=one.text, sequence=place)
        for place, one in enumerate(events, 1)
    ]


def test_stars_say_what_was_thought_from_the_middle_of_those_given() -> None:
    events = stored(
        Event("a", "x", "rating", value=5, text="great"),
        Event("a", "y", "comment", text="so so"),
        Event("a", "y", "rating", value=3),
        Event("a", "z", "rating", value=1),
        Event("a", "w", "comment", text="nobody knows"),
    )
    assert rated_comments([events]) == [(1, 1.0), (2, 0.0)]


def test_a_like_says_what_was_thought_unless_it_was_made_of_the_comment() -> None:
    events = stored(
        Event("a", "x", "like"),
        Event("a", "x", "comment", text="great"),
        Event("a", "y", "comment", text="never again"),
        Event("a", "y", "dislike"),
        Event("a", "z", "comment", text="no"),
        Event("a", "x", "view"),
        Event("a", "z", "dislike"),
    )
    assert rated_comments([events]) == [(2, 1.0), (5, -1.0)]


def test_others_stars_say_nothing_of_a_comment() -> None:
    theirs = [Event("b", "x", "rating", value=1, sequence=9), Event("b", "y", "rating", value=5, sequence=10)]
    assert rated_comments([stored(Event("a", "x", "comment", text="fine")), theirs]) == []


def test_stars_that_are_all_the_same_tell_nothing() -> None:
    assert rated_comments([stored(Event("a", "x", "rating", value=4, text="fine"))]) == []


def test_of_one_writer_only_the_newest_count_so_that_nobody_decides_for_all() -> None:
    many = stored(*(Event("a", f"i{number}", "rating", value=1 + number % 5, text="odd") for number in range(80)))
    other = [Event("b", "x", "rating", value=5, text="fine", sequence=90)]
    told = [sequence for sequence, _ in rated_comments([many, other])]
    assert told == [*range(31, 81), 90]
