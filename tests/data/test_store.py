from __future__ import annotations

import os
import subprocess
import sys
import threading
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from llmrec.data import Store, import_records
from llmrec.data import store as store_module
from llmrec.data.engine import writing
from llmrec.errors import ConflictError, DataError, UnknownItemError
from llmrec.records import Event, Item, User
from tests.data.worlds import COURSES, LEARNERS, at, click

ids = st.text(min_size=1, max_size=20).filter(lambda text: text.isprintable() and bool(text.strip()))
texts = st.text(max_size=40)
attributes = st.dictionaries(
    texts,
    st.one_of(
        st.booleans(),
        st.integers(-(2**63), 2**63),
        st.floats(allow_nan=False, allow_infinity=False),
        texts,
        st.lists(texts, max_size=3).map(tuple),
    ),
    max_size=4,
)


def test_what_was_imported_comes_back(courses: Store) -> None:
    assert list(courses.items()) == COURSES
    assert list(courses.users()) == LEARNERS
    assert courses.user("ada") == LEARNERS[0]
    assert courses.item("knots") == COURSES[0]
    assert courses.counts() == {"users": 2, "items": 3, "events": 0}


def test_items_keep_the_order_of_arrival_and_users_are_sorted(store: Store) -> None:
    import_records(store, items=[Item("z", "Last letter"), Item("a", "First letter")], users=[User("b"), User("B")])
    import_records(store, items=[Item("m", "Later"), Item("a", "Changed")])
    assert [item.item_id for item in store.items()] == ["z", "a", "m"]
    assert [user.user_id for user in store.users()] == ["B", "b"]


def test_listing_goes_over_several_pages(sqlite_store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store_module, "_PAGE", 3)
    names = [f"i{number:02}" for number in range(8)]
    import_records(sqlite_store, items=[Item(name, name) for name in names], users=[User(name) for name in names])
    assert [item.item_id for item in sqlite_store.items()] == names
    assert [user.user_id for user in sqlite_store.users()] == names
    assert list(sqlite_store.items_by_id(reversed(names))) == names[::-1]


def test_writing_while_listing_does_not_block(courses: Store) -> None:
    for item in courses.items():
        courses.append(click("ada", item.item_id))
    assert courses.event_count("ada") == 3


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_any_record_survives_the_store(sqlite_store: Store, data: st.DataObject) -> None:
    user = User(data.draw(ids), data.draw(attributes))
    item = Item(data.draw(ids), data.draw(texts.filter(str.strip)), data.draw(texts), data.draw(attributes))
    moment = data.draw(st.datetimes(datetime(1971, 1, 1), datetime(2024, 1, 1))).replace(tzinfo=UTC)
    import_records(sqlite_store, users=[user], items=[item])
    event = Event(user.user_id, item.item_id, data.draw(ids), data.draw(st.floats(-1e9, 1e9)), data.draw(texts), moment)
    stored = sqlite_store.append(event)
    assert sqlite_store.user(user.user_id) == user
    assert sqlite_store.item(item.item_id) == item
    assert stored in sqlite_store.events(user.user_id)
    assert replace(stored, event_id=None, sequence=None) == event


def test_two_items_may_have_the_same_title(store: Store) -> None:
    import_records(store, items=[Item("a", "Bread"), Item("b", "Bread")])
    assert [store.item(item_id).title for item_id in ("a", "b")] == ["Bread", "Bread"]


def test_an_unknown_user_is_none_and_has_no_events(courses: Store) -> None:
    for stranger in ("eve", "", "a\x00b", "\ud800"):
        assert courses.user(stranger) is None
        assert courses.events(stranger) == ()
        assert courses.seen(stranger) == frozenset()
        assert courses.event_count(stranger) == 0


def test_an_unknown_item_is_an_error_that_names_what_looks_like_it(courses: Store) -> None:
    with pytest.raises(UnknownItemError, match="no item 'breda'") as caught:
        courses.item("breda")
    assert "did you mean bread?" in caught.value.hint
    with pytest.raises(UnknownItemError, match=r"'x1', 'x2', 'x3' and 1 more"):
        courses.items_by_id(["maps", "x1", "x2", "x3", "x4"])
    with pytest.raises(UnknownItemError):
        courses.item("\ud800")


def test_events_are_ordered_by_time_then_arrival_and_timeless_ones_come_first(courses: Store) -> None:
    import_records(courses, events=[Event("ada", "maps"), Event("ada", "bread")])
    courses.append_many([click("ada", "knots", 2), click("ada", "bread", 1), click("ada", "maps", 1)])
    assert [event.item_id for event in courses.events("ada")] == ["maps", "bread", "bread", "maps", "knots"]
    assert [event.item_id for event in courses.events("ada", limit=2)] == ["maps", "knots"]
    assert courses.events("ada", limit=0) == ()
    with pytest.raises(DataError, match="limit = -1"):
        courses.events("ada", limit=-1)


@pytest.mark.parametrize("page", [1, 2, 1000])
def test_all_events_come_user_by_user_in_the_order_of_each_users_history(
    courses: Store, monkeypatch: pytest.MonkeyPatch, page: int
) -> None:
    import_records(courses, events=[Event("bob", "maps"), Event("ada", "maps"), Event("ada", "bread")])
    courses.append_many([click("ada", "knots", 2), click("bob", "bread", 1), click("ada", "maps", 1)])
    courses.append_many(
        [click("ada", "bread", 1), Event("ada", text="how to sail", timestamp=at(3)), click("eve", "maps")]
    )
    expected = [event for user in courses.users() for event in courses.events(user.user_id)]
    monkeypatch.setattr(store_module, "_PAGE", page)
    assert list(courses.events_by_user()) == expected
    assert len(expected) == 9


def test_of_all_events_those_of_recommendations_can_be_had(courses: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store_module, "_PAGE", 1)
    linked = [Event("ada", "knots", kind, recommendation_id="r1") for kind in ("impression", "click")]
    courses.append_many([click("ada", "maps"), linked[0], click("bob", "maps"), linked[1]])
    assert [event.kind for event in courses.events_by_user(recommended=True)] == ["impression", "click"]


def test_history_as_it_was_known_leaves_out_what_arrived_later(courses: Store) -> None:
    early = courses.append(click("ada", "knots", 5))
    late = courses.append(click("ada", "bread", 1))
    assert late.sequence is not None
    assert courses.events("ada", before=late.sequence) == (early,)
    assert courses.last_sequence() == late.sequence


def test_impressions_are_kept_but_count_as_nothing_done(courses: Store) -> None:
    courses.append_many([click("ada", "knots"), Event("ada", "bread", "impression"), Event("ada", text="how to sail")])
    assert courses.seen("ada") == {"knots"}
    assert courses.event_count("ada") == 3
    assert courses.users_with_history(1) == ["ada"]
    assert courses.users_with_history(2) == []


def test_feedback_gets_a_time_an_id_and_a_sequence(courses: Store) -> None:
    before = datetime.now(UTC)
    stored = courses.append(Event("ada", "knots", "click", recommendation_id="r1"))
    assert stored.timestamp is not None
    assert before - timedelta(seconds=1) <= stored.timestamp <= datetime.now(UTC)
    assert stored.event_id
    assert stored.sequence == courses.last_sequence()
    assert courses.events("ada") == (stored,)


def test_sending_feedback_again_changes_nothing(courses: Store) -> None:
    first = courses.append(Event("ada", "knots", "rating", 4, event_id="e1"))
    assert courses.append(Event("ada", "knots", "rating", 4.0, event_id="e1")) == first
    assert courses.event_count("ada") == 1


@pytest.mark.parametrize(
    "other",
    [
        Event("bob", "knots", "rating", 4, event_id="e1"),
        Event("ada", "bread", "rating", 4, event_id="e1"),
        Event("ada", "knots", "like", 4, event_id="e1"),
        Event("ada", "knots", "rating", 5, event_id="e1"),
        Event("ada", "knots", "rating", 4, "fine", event_id="e1"),
    ],
)
def test_an_event_id_cannot_stand_for_two_events(courses: Store, other: Event) -> None:
    first = courses.append(Event("ada", "knots", "rating", 4, event_id="e1"))
    with pytest.raises(ConflictError, match="'e1'"):
        courses.append(other)
    assert courses.events("ada") == (first,)


def test_feedback_on_an_unknown_item_leaves_nothing_behind(courses: Store) -> None:
    with pytest.raises(UnknownItemError, match="'sails'"):
        courses.append_many([click("eve", "knots"), click("eve", "sails")])
    assert courses.user("eve") is None
    assert courses.counts()["events"] == 0


def test_feedback_makes_its_user_known(courses: Store) -> None:
    courses.append(click("eve", "knots"))
    assert courses.user("eve") == User("eve")
    courses.append(click("ada", "knots"))
    assert courses.user("ada") == LEARNERS[0]


def test_the_items_version_grows_with_each_change_and_only_then(courses: Store) -> None:
    first = courses.items_version()
    import_records(courses, items=COURSES, users=LEARNERS, events=[click("ada", "maps")])
    assert courses.items_version() == first
    import_records(courses, items=[replace(COURSES[0], title="Knots")])
    assert courses.items_version() == first + 1
    import_records(courses, items=[Item("sails", "Sails")])
    assert courses.items_version() == first + 2


def test_an_alias_moves_and_remembers_where_it_was(store: Store) -> None:
    assert store.aliases.now("rank") is None
    store.aliases.move("rank", "0001")
    assert (store.aliases.now("rank"), store.aliases.before("rank")) == ("0001", None)
    store.aliases.move("rank", "0002")
    store.aliases.move("rank", "0002")
    assert (store.aliases.now("rank"), store.aliases.before("rank")) == ("0002", "0001")
    assert store.aliases.now("answer") is None
    # Each move stands in the log with its reason, and what changed nothing does not.
    store.aliases.move("rank", "0001", state="rolled back", why="it was worse")
    deeds = store.release_log.of("rank")
    assert [(one.release, one.state) for one in deeds] == [
        ("0001", "promoted"), ("0002", "promoted"), ("0001", "rolled back")
    ]  # fmt: skip
    assert deeds[-1].why == "it was worse"
    assert deeds[-1].who
    assert [one.time for one in deeds] == sorted(one.time for one in deeds)
    assert store.release_log.of("answer") == ()


def test_the_log_and_the_alias_move_together_or_not_at_all(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    store.aliases.move("rank", "0001")

    def fails(*_: object) -> None:
        raise OSError("disk full")

    monkeypatch.setattr("llmrec.data.aliases.write_deed", fails)
    with pytest.raises(OSError, match="disk full"):
        store.aliases.move("rank", "0002")
    assert store.aliases.now("rank") == "0001"
    assert [one.release for one in store.release_log.of("rank")] == ["0001"]


def test_deleting_a_user_stands_in_the_log_of_every_task_without_their_name(store: Store) -> None:
    store.append(Event("ada", text="hello"))
    store.forget("ada")
    for task in ("rank", "answer"):
        (deed,) = store.release_log.of(task)
        assert (deed.state, deed.release) == ("marked", "*")
        assert "ada" not in str(deed.to_dict())


def test_threads_may_share_a_store(courses: Store) -> None:
    def send(learner: str) -> None:
        for hour in range(10):
            courses.append(click(learner, "maps", hour))

    threads = [threading.Thread(target=send, args=(f"user{number}",)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert courses.counts()["events"] == 40
    assert courses.last_sequence() == 40


def test_processes_may_append_at_the_same_time(courses: Store, url: str) -> None:
    send = (
        "import sys; from llmrec.data import Store; from llmrec.records import Event\n"
        "with Store.open(sys.argv[1]) as store:\n"
        "    for number in range(25): store.append(Event(sys.argv[2], 'maps', event_id=f'{sys.argv[2]}{number}'))"
    )
    senders = [
        subprocess.Popen([sys.executable, "-c", send, url, f"user{number}"], env=os.environ) for number in (1, 2)
    ]
    assert [sender.wait(60) for sender in senders] == [0, 0]
    assert [courses.event_count(f"user{number}") for number in (1, 2)] == [25, 25]
    assert courses.last_sequence() == 50


def test_events_become_visible_in_the_order_of_their_sequences(courses: Store) -> None:
    with writing(courses.engine):
        thread = threading.Thread(target=courses.append, args=(click("ada", "maps"),))
        thread.start()
        thread.join(0.3)
        assert thread.is_alive()
        assert courses.event_count("ada") == 0
    thread.join(30)
    assert courses.event_count("ada") == 1


def test_feedback_survives_the_death_of_its_process(courses: Store, url: str) -> None:
    send = (
        "import os, sys; from llmrec.data import Store; from llmrec.records import Event\n"
        "Store.open(sys.argv[1]).append(Event('ada', 'maps', event_id='e1'))\n"
        "os.kill(os.getpid(), 9)"
    )
    assert subprocess.run([sys.executable, "-c", send, url], check=False).returncode == -9
    assert [event.event_id for event in courses.events("ada")] == ["e1"]


def test_an_alias_moves_only_from_where_it_was_expected(store: Store) -> None:
    assert not store.aliases.move("rank", "0001", expected="0009")
    assert store.aliases.now("rank") is None
    assert store.aliases.move("rank", "0001", expected=None)
    assert not store.aliases.move("rank", "0002", expected=None)
    assert store.aliases.now("rank") == "0001"
    assert store.aliases.move("rank", "0002", expected="0001")
    assert [one.release for one in store.release_log.of("rank")] == ["0001", "0002"]
