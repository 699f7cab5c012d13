from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import select, text

from llmrec.data import Counts, Store, engine, import_records, importer
from llmrec.data.staging import CHECKS, staging
from llmrec.errors import BusyError, ImportRefused, StoreError
from llmrec.records import Event, Item, User
from tests.data.worlds import COURSES, LEARNERS, at, click, stored_events

Write = Callable[[str, str | bytes], Path]

ORDER_ONLY = [Event("ada", "knots"), Event("bob", "maps"), Event("ada", "bread"), Event("ada", "knots")]


def refused(store: Store, **sources: object) -> ImportRefused:
    """The refusal of an import that must leave the store as it was."""
    before = (list(store.users()), list(store.items()), stored_events(store), store.items_version())
    with pytest.raises(ImportRefused) as caught:
        import_records(store, **sources)
    assert (list(store.users()), list(store.items()), stored_events(store), store.items_version()) == before
    return caught.value


def test_users_items_and_events_come_in_together(store: Store) -> None:
    report = import_records(store, users=LEARNERS, items=COURSES, events=[click("eve", "maps")])
    assert (report.users, report.items, report.events) == (Counts(3), Counts(3), Counts(1))
    assert store.user("eve") == User("eve")
    assert report.to_dict()["events"] == {"added": 1, "updated": 0, "repeated": 0}


def test_importing_again_changes_nothing(courses: Store) -> None:
    events = [click("ada", "maps"), Event("bob", "knots", "rating", 4, timestamp=at(1)), Event("bob", "knots")]
    import_records(courses, events=events)
    before = [courses.events("ada"), courses.events("bob")]
    report = import_records(courses, users=LEARNERS, items=COURSES, events=events)
    assert (report.users, report.items, report.events) == (
        Counts(repeated=2),
        Counts(repeated=3),
        Counts(repeated=3),
    )
    assert [courses.events("ada"), courses.events("bob")] == before


def test_a_stored_id_is_updated_and_keeps_its_place(courses: Store) -> None:
    changed = replace(COURSES[0], title="Knots for Everybody", attributes={"hours": 4})
    report = import_records(courses, items=[Item("sails", "Sails"), changed], users=[User("bob", {"age": 50})])
    assert (report.items, report.users) == (Counts(1, 1), Counts(0, 1))
    assert [item.item_id for item in courses.items()] == ["knots", "bread", "maps", "sails"]
    assert courses.item("knots") == changed
    assert courses.user("bob") == User("bob", {"age": 50})


def test_the_order_of_events_without_times_is_kept(courses: Store) -> None:
    import_records(courses, events=ORDER_ONLY)
    assert [event.item_id for event in courses.events("ada")] == ["knots", "bread", "knots"]


def test_a_file_without_times_may_grow(courses: Store) -> None:
    import_records(courses, events=ORDER_ONLY)
    report = import_records(courses, events=[*ORDER_ONLY, Event("ada", "maps"), Event("bob", "maps")])
    assert report.events == Counts(added=2, repeated=4)
    assert [event.item_id for event in courses.events("ada")] == ["knots", "bread", "knots", "maps"]
    assert [event.item_id for event in courses.events("bob")] == ["maps", "maps"]


def test_the_same_event_twice_in_one_file_is_one_event(courses: Store) -> None:
    twice = Event("ada", "knots", "rating", 4, timestamp=at(0), event_id="e1")
    report = import_records(courses, events=[click("ada", "maps"), twice, click("ada", "maps"), twice])
    assert report.events == Counts(added=2, repeated=2)


def test_rows_are_numbered_in_files_and_refused_together(sqlite_courses: Store, write: Write) -> None:
    path = write("log.csv", "user_id,item_id,value\nada,knots,5\nada,sails,4\n,maps,3\nada,maps,many\nbob,maps,4\n")
    error = refused(sqlite_courses, events=path)
    assert [(row.source, row.line, row.field, row.value) for row in error.rows] == [
        (str(path), 3, "item_id", "'sails'"),
        (str(path), 4, "user_id", "None"),
        (str(path), 5, "value", "'many'"),
    ]
    assert error.total == 3
    assert f"{path}:3: item_id = 'sails'" in str(error)
    assert "--skip-bad" in error.hint
    assert "import the missing items first" in error.hint


@pytest.mark.parametrize(
    ("kind", "rows", "field", "reason"),
    [
        ("events", [click("ada", "sails"), click("ada", "maps")], "item_id", "no such item"),
        ("events", [{"user_id": "ada", "item_id": None}, click("ada", "maps")], "item_id", "missing"),
        ("events", [{"user_id": "ada", "item_id": "maps", "kind": "rating"}], "value", "missing"),
        ("events", [{"user_id": "ada", "item_id": "maps", "value": float("nan")}], "value", "finite"),
        ("events", [{"user_id": "ada", "item_id": "maps", "timestamp": 1714564800000}], "timestamp", "milliseconds"),
        ("events", [{"user_id": "ada", "item_id": "maps", "timestamp": 7}], "timestamp", "1970-01-02"),
        ("events", [{"user_id": "a\nb", "item_id": "maps"}], "user_id", "usable id"),
        ("events", [{"user_id": ["ada"], "item_id": "maps"}], "user_id", "is not an id"),
        ("events", ["ada"], "row", "not a record"),
        ("events", [User("ada")], "row", "not one of events"),
        ("items", [{"item_id": "a", "title": " "}], "title", "missing"),
        ("items", [{"item_id": "a" * 257, "title": "A"}], "item_id", "usable id"),
        ("items", [{"item_id": "a", "title": "A", "price": float("inf")}], "price", "finite"),
        ("items", [{"item_id": "a", "title": "A", "price": 10**400}], "price", "too large"),
        ("items", [{"item_id": "a", "title": "A", "made": {"in": "Bath"}}], "made", "text"),
        ("items", [Item("a", "A"), Item("a", "A")], "item_id", "twice"),
        ("users", [User("a"), User("b"), User("a", {"age": 3})], "user_id", "twice"),
    ],
)
def test_a_bad_row_refuses_the_whole_import(
    sqlite_courses: Store, kind: str, rows: list[object], field: str, reason: str
) -> None:
    error = refused(sqlite_courses, **{kind: rows})
    assert error.total == 1
    assert error.rows[0].field == field
    assert reason in error.rows[0].reason


def test_a_bad_last_row_of_many_leaves_nothing_of_them(courses: Store) -> None:
    events = [click("ada", "maps", hour / 100) for hour in range(12_000)]
    error = refused(courses, events=[*events, click("ada", "sails")])
    assert [row.line for row in error.rows] == [12_001]


def test_the_first_bad_rows_are_kept_and_all_are_counted(sqlite_courses: Store) -> None:
    rows: list[object] = [
        {"user_id": None, "item_id": "maps"} if number % 2 else click("ada", "sails") for number in range(60)
    ]
    error = refused(sqlite_courses, events=[click("ada", "maps"), *rows])
    assert [row.line for row in error.rows] == list(range(2, 22))
    assert error.total == 60


def test_an_event_about_an_item_whose_row_is_bad_is_not_a_second_mistake(store: Store) -> None:
    error = refused(store, items=[COURSES[0], {"item_id": "maps", "title": None}], events=[click("ada", "maps")])
    assert [row.field for row in error.rows] == ["title"]


def test_events_without_any_known_item_are_refused_even_when_bad_rows_may_be_skipped(courses: Store) -> None:
    for skip_bad in (False, True):
        error = refused(courses, events=[click("ada", "1"), click("bob", "2")], skip_bad=skip_bad)
        assert "none of the 2 events is about an item that is stored, the first is rows:1: item_id = '1'" in str(error)
        assert "import the missing items first" in error.hint
        assert (len(error.rows), error.total) == (2, 2)


def test_bad_rows_can_be_left_out(courses: Store) -> None:
    report = import_records(
        courses,
        users=[User("bob", {"age": 1}), User("bob", {"age": 2})],
        items=[{"item_id": "sails"}, {"item_id": "oars", "title": "Oars"}],
        events=[click("ada", "sails"), click("ada", "oars"), {"user_id": "", "item_id": "maps"}],
        skip_bad=True,
    )
    assert report.skipped_total == 4
    assert [(row.line, row.field) for row in report.skipped] == [
        (2, "user_id"),
        (1, "title"),
        (1, "item_id"),
        (3, "user_id"),
    ]
    assert (report.users, report.items, report.events) == (Counts(0, 1), Counts(1), Counts(1))
    assert courses.user("bob") == User("bob", {"age": 1})
    assert stored_events(courses) == [("ada", "oars", "click")]


def test_an_event_id_with_other_content_is_a_bad_row(courses: Store) -> None:
    first = Event("ada", "maps", "rating", 3, event_id="e1")
    error = refused(courses, events=[first, replace(first, value=4), first])
    assert [(row.line, row.field) for row in error.rows] == [(2, "event_id")]
    courses.append(first)
    error = refused(courses, events=[Event("bob", "maps", event_id="e2"), replace(first, item_id=None, text="fine")])
    assert [(row.line, row.value) for row in error.rows] == [(2, "'e1'")]
    assert "stored event" in error.rows[0].reason
    assert refused(courses, events=[first, replace(first, value=4)]).total == 1
    report = import_records(courses, events=[replace(first, value=4), click("bob", "maps"), first], skip_bad=True)
    assert (report.events, report.skipped_total) == (Counts(added=1, repeated=1), 1)


def test_an_event_id_taken_at_the_last_moment_refuses_the_import(
    courses: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    def take_it(_: object) -> None:
        courses.append(Event("ada", "maps", event_id="e1"))

    monkeypatch.setattr(importer._Import, "check", take_it)
    with pytest.raises(ImportRefused, match="stored event"):
        import_records(courses, events=[click("ada", "bread"), Event("bob", "knots", event_id="e1")])
    assert stored_events(courses) == [("ada", "maps", "view")]


def test_kinds_follow_from_the_values(sqlite_courses: Store) -> None:
    rows = [
        {"user_id": "ada", "item_id": "maps", "value": 4, "timestamp": at(0)},
        {"user_id": "ada", "item_id": "maps", "timestamp": at(1)},
        {"user_id": "ada", "item_id": "maps", "kind": "purchase", "value": 20, "timestamp": at(2)},
        {"user_id": "ada", "kind": "search", "text": "ropes", "timestamp": at(3)},
    ]
    import_records(sqlite_courses, events=rows)
    assert [event.kind for event in sqlite_courses.events("ada")] == ["rating", "view", "purchase", "search"]


def test_columns_can_be_renamed_in_all_sources_at_once(store: Store) -> None:
    import_records(
        store,
        items=[{"sku": "a", "name": "Apples"}],
        events=[{"customer": "ada", "sku": "a"}],
        rename={"sku": "item_id", "name": "title", "customer": "user_id"},
    )
    assert stored_events(store) == [("ada", "a", "view")]
    error = refused(store, events=[{"user_id": "ada", "item_id": "a"}], rename={"usr": "user_id"})
    assert "no column 'usr' to rename" in str(error)
    assert "item_id, user_id" in error.hint


def test_a_failure_before_the_end_leaves_nothing(courses: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_: object) -> Counts:
        raise KeyboardInterrupt

    monkeypatch.setattr(importer, "merge_events", fail)
    with pytest.raises(KeyboardInterrupt):
        import_records(courses, users=[User("eve")], items=[Item("sails", "Sails")], events=[click("eve", "sails")])
    assert courses.user("eve") is None
    assert courses.counts() == {"users": 2, "items": 3, "events": 0}
    monkeypatch.undo()
    assert import_records(courses, events=[click("ada", "maps")]).events == Counts(1)


def test_a_source_that_breaks_off_leaves_nothing(courses: Store) -> None:
    def broken() -> Iterator[Event]:
        yield click("ada", "maps")
        raise OSError("the network is gone")

    with pytest.raises(OSError, match="network"):
        import_records(courses, events=broken())
    assert courses.counts()["events"] == 0


def rows_and_feedback(store: Store) -> Iterator[Event]:
    """Rows during whose import somebody reads and sends feedback."""
    yield from (click("ada", "maps", hour) for hour in range(6000))
    store.append(click("bob", "knots"))
    assert store.event_count("bob") == 1
    yield click("ada", "bread")


@pytest.mark.parametrize("safe", [True, False])
def test_feedback_is_taken_while_rows_are_staged(sqlite_url: str, monkeypatch: pytest.MonkeyPatch, safe: bool) -> None:
    module, _ = engine.sqlite_driver()
    monkeypatch.setattr(engine, "sqlite_driver", lambda: (module, safe))
    with Store.open(sqlite_url) as store:
        import_records(store, items=COURSES)
        import_records(store, events=rows_and_feedback(store))
        assert (store.event_count("ada"), store.event_count("bob")) == (6001, 1)


def test_feedback_is_taken_while_rows_are_staged_on_any_database(courses: Store) -> None:
    import_records(courses, events=rows_and_feedback(courses))
    assert (courses.event_count("ada"), courses.event_count("bob")) == (6001, 1)


SLOW_IMPORT = """
import sys, time
from pathlib import Path
from llmrec.data import Store, import_records, importer
from llmrec.records import Event

def pause():
    Path(sys.argv[2]).touch()
    while not Path(sys.argv[3]).exists():
        time.sleep(0.005)

def rows():
    yield Event("ada", "maps", event_id="first")
    if sys.argv[4] == "staging":
        pause()
    yield Event("ada", "knots", event_id="second")

merge_events = importer.merge_events
def merge(connection):
    counts = merge_events(connection)
    if sys.argv[4] == "merging":
        pause()
    return counts
importer.merge_events = merge

with Store.open(sys.argv[1]) as store:
    import_records(store, events=rows())
"""


def start_import(url: str, directory: Path, phase: str) -> tuple[subprocess.Popen[bytes], Path]:
    """An import in another process that waits in the given phase for the returned file."""
    paused, go_on = directory / "paused", directory / "go_on"
    process = subprocess.Popen([sys.executable, "-c", SLOW_IMPORT, url, str(paused), str(go_on), phase])
    while not paused.exists():
        assert process.poll() is None
    return process, go_on


def test_another_process_sends_feedback_during_an_import(courses: Store, url: str, tmp_path: Path) -> None:
    process, go_on = start_import(url, tmp_path, "staging")
    sent = courses.append(click("bob", "bread"))
    go_on.touch()
    assert process.wait(60) == 0
    imported = courses.events("ada")
    assert [event.item_id for event in imported] == ["maps", "knots"]
    assert courses.events("bob") == (sent,)
    assert all((event.sequence or 0) > (sent.sequence or 0) for event in imported)


@pytest.mark.parametrize("phase", ["staging", "merging"])
def test_an_import_that_is_killed_leaves_the_store_as_it_was(
    courses: Store, url: str, tmp_path: Path, phase: str
) -> None:
    courses.append(click("bob", "bread"))
    process, _ = start_import(url, tmp_path, phase)
    process.kill()
    process.wait(60)
    assert stored_events(courses) == [("bob", "bread", "click")]
    assert import_records(courses, events=[click("ada", "maps")]).events == Counts(1)


def test_an_import_waits_for_its_turn_to_write(courses: Store) -> None:
    with engine.writing(courses.engine) as connection:
        thread = threading.Thread(target=import_records, args=(courses,), kwargs={"events": [click("ada", "maps")]})
        thread.start()
        thread.join(0.5)
        assert thread.is_alive()
        connection.execute(text("INSERT INTO meta VALUES ('note', 'somebody was here')"))
    thread.join(30)
    assert courses.event_count("ada") == 1


def test_a_long_import_that_cannot_get_the_lock_is_busy(sqlite_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine, "_BUSY_SECONDS", 0.1)
    with Store.open(sqlite_url) as store, engine.writing(store.engine), pytest.raises(BusyError):
        import_records(store, items=COURSES)


def test_a_store_that_is_gone_is_an_error(sqlite_url: str, tmp_path: Path) -> None:
    with Store.open(sqlite_url) as store:
        store.close()
        for file in tmp_path.glob("store.db*"):
            file.unlink()
        with pytest.raises(StoreError):
            import_records(store, items=COURSES)


def test_an_event_keeps_what_it_answers(courses: Store) -> None:
    import_records(courses, events=[replace(click("ada", "maps"), recommendation_id="r7")])
    assert courses.events("ada")[0].recommendation_id == "r7"
    assert courses.events("ada")[0].timestamp == at(0) + timedelta(0)


def test_no_check_of_an_import_reads_all_of_it_for_each_row(store: Store) -> None:
    if store.engine.dialect.name != "sqlite":
        pytest.skip("the plan is SQLite's")
    with staging(store.engine) as connection:
        for check in CHECKS:
            wanted = select(check.table.c.row).where(check.bad)
            asked = str(wanted.compile(store.engine, compile_kwargs={"literal_binds": True}))
            plan = [row[3] for row in connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {asked}")]
            assert [step.split()[1] for step in plan if step.startswith("SCAN")] == [check.table.name], asked
