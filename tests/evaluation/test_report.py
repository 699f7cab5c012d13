"""The report: every system on the same requests, and the JSON that others read."""

import json
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from llmrec.errors import DataError
from llmrec.evaluation import (
    Ease,
    EvaluationOptions,
    Interactions,
    Popularity,
    Report,
    Requests,
    Split,
    evaluate,
    interactions_from_events,
    leave_last_out,
    leave_one_out,
    measure,
    measuring,
    release_outcomes,
    run,
    temporal_split,
)
from llmrec.records import Event
from tests.evaluation.worlds import at, blocks


class Oracle:
    """Knows the answers of the requests it was made for, and gives them first, or never."""

    def __init__(self, name: str, interactions: Interactions, *, right: bool) -> None:
        self.name = name
        self.targets = leave_one_out(interactions).targets.rows if right else None

    def fit(self, training: Interactions) -> None:
        pass

    def rank(self, requests: Requests, k: int) -> np.ndarray:
        lists = np.full((len(requests), k), -1)
        if self.targets is not None:
            lists[:, 0] = self.targets
        return lists


def report(**options: Any) -> Report:
    interactions = blocks()
    passed = {name: options.pop(name) for name in ("notes", "releases") if name in options}
    systems = [Oracle("good", interactions, right=True), Oracle("bad", interactions, right=False), Popularity()]
    return evaluate(
        leave_one_out(interactions), systems, EvaluationOptions(resamples=200, **options), depth=20, **passed
    )


def test_who_knows_the_answers_has_one_and_who_does_not_has_zero() -> None:
    systems = report().systems
    for metric in ("ndcg@10", "recall@5", "mrr@20"):
        assert systems["good"][metric].to_dict() == {"value": 1, "low": 1, "high": 1}
        assert systems["bad"][metric].to_dict() == {"value": 0, "low": 0, "high": 0}
    assert systems["bad"]["coverage@10"].value == 0
    assert 0 < (systems["popularity"]["recall@10"].value or 0) < 1


def test_the_json_form_has_the_keys_of_the_contract() -> None:
    form = json.loads(json.dumps(report(groups={"side": {"u00": "even", "u01": "odd"}}).to_dict(), allow_nan=False))
    assert {
        "data", "protocol", "users", "candidates", "seconds", "environment", "systems", "paired", "slices",
    } <= set(form)  # fmt: skip
    assert form["users"] == 60
    assert form["candidates"] == 16
    assert form["data"]["sha256"] == blocks().sha256
    assert list(form["systems"]) == list(form["seconds"]) == ["good", "bad", "popularity"]
    assert set(form["systems"]["good"]["ndcg@10"]) == {"value", "low", "high"}
    assert set(form["paired"]["good-bad"]["ndcg@10"]) == {"difference", "low", "high", "p"}
    assert form["paired"]["good-bad"]["ndcg@10"]["difference"] == 1
    assert form["slices"]["short_histories"]["users"] == 60
    assert form["slices"]["side=even"]["users"] == 1
    assert form["slices"]["side=odd"]["systems"]["good"]["recall@10"]["value"] == 1
    assert form["recall_curve"]["good"] == [1] * 20
    assert form["protocol"]["name"] == "leave-one-out"


def test_only_the_pairs_asked_for_are_compared() -> None:
    assert list(report(pairs=[("popularity", "bad")]).paired) == ["popularity-bad"]
    assert list(report().paired) == ["good-bad", "good-popularity", "bad-popularity"]
    with pytest.raises(DataError, match="no system 'best'"):
        report(pairs=[("best", "bad")])


def test_permuting_users_changes_no_users_result() -> None:
    interactions = blocks()
    order = np.random.default_rng(3).permutation(len(interactions.user_ids))
    found = []
    for same in (interactions, interactions.take_users(order)):
        split = leave_one_out(same)
        one = measure(split, [run(Ease(1.0), split, depth=20)], EvaluationOptions(vectors=np.eye(16), resamples=10))
        ids = [same.user_ids[row] for row in split.requests.users]
        found.append({metric: dict(zip(ids, values, strict=True)) for metric, values in one.per_user["ease"].items()})
    assert {"ndcg@10", "novelty@5", "diversity@20", "popularity_bias@10"} <= set(found[0])
    for metric, values in found[0].items():
        assert found[1][metric] == pytest.approx(values, nan_ok=True), metric


def test_where_targets_are_rated_ratings_are_foretold() -> None:
    generator = np.random.default_rng(4)
    events = [
        Event(f"u{user}", f"i{row}", "rating", float(generator.integers(1, 6)))
        for user in range(40)
        for row in generator.permutation(12)[:5]
    ]
    split = leave_one_out(interactions_from_events(events))
    found = evaluate(split, [Popularity()], EvaluationOptions(resamples=50), depth=20).systems["popularity"]
    assert found["rmse"].value == pytest.approx(found["rmse_of_mean"].value, rel=0.1)
    assert found["auc"].low is not None
    assert "rmse" not in report().systems["popularity"]


def test_of_every_rated_target_it_is_known_whose_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []
    monkeypatch.setattr(measuring, "rating_metrics", lambda _, __, users, **___: asked.append(list(users)) or {})
    events = [
        Event(user_id, item, "rating", 3, timestamp=at(day))
        for user_id, items in {"ann": "abcd", "bob": "bcd"}.items()
        for day, item in enumerate(items)
    ]
    evaluate(temporal_split(interactions_from_events(events), time=at(1)), [Popularity()])
    assert asked == [[0, 0, 0, 1, 1]]


def test_tables_have_a_row_for_each_system_pair_and_slice() -> None:
    one = report()
    columns, rows = one.table(("ndcg@10", "diversity@10", "coverage@10"))
    assert columns == ["system", "ndcg@10", "coverage@10", "seconds"]
    assert rows[0][:2] == ["good", "1.0000 [1.0000, 1.0000]"]
    assert rows[1][:3] == ["bad", "0.0000 [0.0000, 0.0000]", "0.0000"]
    assert all(len(row) == len(columns) for row in rows)
    assert one.paired_table(("recall@10",))[1][0] == ["good-bad", "+1.0000 [+1.0000, +1.0000] p=0.00498"]
    columns, rows = one.slice_table()
    assert columns == ["recall@10 in", "users", "good", "bad", "popularity"]
    assert ["short_histories", "60", "1.0000 [1.0000, 1.0000]", "0.0000 [0.0000, 0.0000]"] in [row[:4] for row in rows]


def test_tables_for_a_terminal_are_narrow_and_leave_empty_slices_out() -> None:
    one = report(groups={"side": {"u00": "even"}})
    columns, rows = one.summary_table()
    assert columns == ["system", "N@10", "95%", "R@10", "R@20", "R@50", "MRR@10", "cov@10"]
    assert rows[1] == ["bad", ".0000", ".0000 .0000", ".0000", ".0000", "-", ".0000", ".0000"]
    assert sum(max(map(len, column)) + 3 for column in zip(columns, *rows, strict=True)) < 80
    assert one.short_paired_table()[1][0] == ["good-bad", "+1.000", "+1.000 +1.000", "0.005"]
    columns, rows = one.short_slice_table()
    assert columns == ["R@10", "warm (60)", "short_histories (60)"]
    assert rows[:2] == [["good", "1.000", "1.000"], ["bad", ".0000", ".0000"]]


def test_a_slice_without_users_has_no_figures() -> None:
    form = report().to_dict()["slices"]["cold_items"]
    assert form == {"users": 0, "systems": {"good": {}, "bad": {}, "popularity": {}}}


def test_all_metrics_stand_in_one_table_by_system() -> None:
    columns, rows = report().metrics_table()
    assert columns == ["metric", "good", "bad", "popularity"]
    assert ["recall@5", "1.0000 [1.0000, 1.0000]", "0.0000 [0.0000, 0.0000]"] in [row[:3] for row in rows]
    assert "coverage@20" in [row[0] for row in rows]


def test_releases_and_notes_are_passed_on() -> None:
    log = [
        Event("ann", "rake", "impression", recommendation_id="r1"),
        Event("ann", "rake", "click", recommendation_id="r1"),
    ]
    found = report(releases=release_outcomes(log, lambda _: "rank/0001"), notes=["films were memorised"])
    assert found.release_table()[1] == [["rank/0001", "1", "100.0% [20.7%, 100.0%]", "0", "-"]]
    form = found.to_dict()
    assert form["releases"]["rank/0001"]["click_through_rate"]["value"] == 1
    assert form["notes"] == ["films were memorised"]


def test_two_systems_of_one_name_and_no_system_are_refused() -> None:
    split = leave_one_out(blocks())
    with pytest.raises(DataError, match="two systems are called popularity"):
        evaluate(split, [Popularity(), Popularity()])
    with pytest.raises(DataError, match="no system to evaluate"):
        measure(split, [])


def test_lists_made_before_are_measured_as_they_are() -> None:
    split = leave_one_out(blocks())
    done = run(Popularity(), split, depth=20)
    better = replace(done, system="shifted", lists=np.roll(done.lists, -1, axis=1))
    one = measure(split, [done, better], EvaluationOptions(resamples=10))
    assert one.seconds["shifted"] == done.seconds
    assert one.systems["shifted"]["recall@5"] != one.systems["popularity"]["recall@5"]


class EveryOther:
    """Right about every other request, and gives nothing else."""

    name = "every other"

    def __init__(self, split: Split) -> None:
        self._targets = split.targets.rows

    def fit(self, training: Interactions) -> None:
        pass

    def rank(self, requests: Requests, k: int) -> np.ndarray:
        lists = np.full((len(requests), k), -1)
        lists[::2, 0] = self._targets[::2]
        return lists


def test_the_requests_of_one_user_count_as_one() -> None:
    split = leave_last_out(blocks(), 2)
    found = evaluate(split, [EveryOther(split)], EvaluationOptions(resamples=200))
    users = len(split.requests) // 2
    assert found.users == users
    # Of each user one of two: were requests drawn, and not users, there would be an interval.
    assert found.systems["every other"]["recall@5"].to_dict() == {"value": 0.5, "low": 0.5, "high": 0.5}
    assert len(found.per_user["every other"]["recall@5"]) == users
    warm = found.slices["warm_items"]
    assert warm.users == users
    assert warm.systems["every other"]["recall@5"].low == 0.5
