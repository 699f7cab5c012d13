"""What the gate asks about: newest events that nobody has learnt from, and that nobody chose."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from llmrec import Event, Recommender
from llmrec.learning import held_out as module
from llmrec.learning.held_out import held_out_histories
from llmrec.releases import Release
from llmrec.testing import OverlapLanguageModel, WordEncoder
from tests.learning.test_retraining import fill, fit_of, settings


@pytest.fixture
def courses(tmp_path: Path) -> Iterator[Recommender]:
    wanted = {name: section for name, section in settings(Path("none")).items() if name != "models"}
    parts = {"encoder": WordEncoder(), "language_model": OverlapLanguageModel()}
    with Recommender.create(tmp_path / "courses", wanted, **parts) as rec:
        fill(rec)
        yield rec


def champion_of(rec: Recommender, *withheld: int) -> Release:
    """One that knows everything up to now, but for what was withheld."""
    data = {"last_sequence": rec.store.last_sequence(), "withheld": list(withheld)}
    return rec.releases.create({}, {"data": data})


def answers_of(rec: Recommender, champion: Release, most: int = 200) -> list[Event]:
    found = held_out_histories(fit_of(rec), rec.store.last_sequence(), champion, most)
    return [history.events[-1] for history in found]


def test_answers_are_users_newest_and_what_the_champion_cannot_know_comes_first(
    courses: Recommender, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_LEAST", 50)
    everything = answers_of(courses, champion_of(courses))
    assert len(everything) > 10
    for answer in everything:
        assert courses.store.events(answer.user_id)[-1] == answer
    withheld = everything[-1].sequence or 0
    assert answers_of(courses, champion_of(courses, withheld), 1) == [everything[-1]]


def test_accounts_made_since_choose_nothing_where_others_can_be_asked(
    courses: Recommender, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_LEAST", 50)
    champion = champion_of(courses)
    courses.add_events([Event(f"fake{number}", item_id) for number in range(100) for item_id in ("s1", "s2", "s3")])
    asked = Counter(answer.user_id[:4] == "fake" for answer in answers_of(courses, champion))
    assert asked[True] > asked[False] > 10
    monkeypatch.setattr(module, "_ENOUGH", 10)
    assert not any(answer.user_id.startswith("fake") for answer in answers_of(courses, champion))


def test_no_item_is_the_answer_of_many_requests(courses: Recommender) -> None:
    champion = champion_of(courses)
    courses.add_events([Event(f"fake{number}", item_id) for number in range(100) for item_id in ("s1", "s2", "s3")])
    items = Counter(answer.item_id for answer in answers_of(courses, champion, 200))
    assert max(items.values()) == items["s3"] == 4


def test_of_few_users_more_than_one_event_is_asked_about_if_the_champion_cannot_know_it(courses: Recommender) -> None:
    champion = champion_of(courses)
    assert set(Counter(answer.user_id for answer in answers_of(courses, champion)).values()) == {1}
    newest = {answer.user_id: answer.item_id for answer in answers_of(courses, champion)}
    user = next(iter(newest))
    missed = [f"s{step}" for step in range(10) if f"s{step}" not in courses.history(user).seen][:2]
    courses.add_events([Event(user, item_id) for item_id in missed])
    histories = held_out_histories(fit_of(courses), courses.store.last_sequence(), champion, 200)
    of_user = [one for one in histories if one.user and one.user.user_id == user]
    assert [one.events[-1].item_id for one in of_user] == missed[::-1]
    # What comes later is not known when the earlier one is asked about.
    assert missed[1] not in of_user[1].seen
    assert missed[1] not in {event.item_id for event in of_user[1].events}


def test_an_answer_that_is_taken_again_later_is_not_asked_about(courses: Recommender) -> None:
    champion = champion_of(courses)
    user = answers_of(courses, champion)[0].user_id
    first, last = [f"s{step}" for step in range(10) if f"s{step}" not in courses.history(user).seen][:2]
    # The rating tells whoever learns from it that the first was taken, and is learnt from.
    courses.add_events([Event(user, first), Event(user, first, "rating", 5.0), Event(user, last)])
    assert [answer.item_id for answer in answers_of(courses, champion) if answer.user_id == user] == [last]


def test_what_the_encoder_to_go_on_from_has_learnt_is_not_asked_about(
    courses: Recommender, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Of users with two events none is held out from an encoder.
    courses.add_events([Event(f"short{number}", f"s{number % 10 + place}") for number in range(9) for place in (0, 1)])
    short = {answer.user_id for answer in answers_of(courses, champion_of(courses, *range(1, 10_000)))}
    assert any(user_id.startswith("short") for user_id in short)
    champion = champion_of(courses)
    asked = answers_of(courses, champion)
    assert asked
    assert not any(answer.user_id.startswith("short") for answer in asked)
    monkeypatch.setattr(module, "VALIDATION_USERS", 3)
    assert 0 < len(answers_of(courses, champion)) <= 3
