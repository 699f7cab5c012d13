"""The gate lets a better release through, and no other."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from llmrec import Event, Item, Recommender, User
from llmrec.evaluation.uncertainty import paired
from llmrec.learning import gate as module
from llmrec.learning.gate import judge_release
from llmrec.learning.trust import crowded_out, earned_shares
from llmrec.models import Segment
from llmrec.ranking import FusedRanker, HeldOutRequest
from llmrec.records import RankedItem
from llmrec.releases import Release
from llmrec.testing import OverlapLanguageModel, WordEncoder
from tests.learning.test_retraining import fill, fit_of, settings


class WhimsicalLanguageModel(OverlapLanguageModel):
    """Has an opinion on every title, and no reason for it."""

    def _overlap(self, prompt: list[int]) -> float:
        return sum(prompt[-6:]) % 1000 / 250 - 2


@pytest.fixture
def courses(tmp_path: Path) -> Iterator[Recommender]:
    """Courses whose retriever knows what follows what, and whose language model does not."""
    wanted = {name: section for name, section in settings(Path("none")).items() if name not in ("models", "learning")}
    wanted["encoder"] = {**wanted["encoder"], "epochs": 12}
    parts = {"encoder": WordEncoder(), "language_model": WhimsicalLanguageModel()}
    with Recommender.create(tmp_path / "courses", wanted, **parts) as rec:
        fill(rec)
        rec.fit()
        yield rec


def requests_of(rec: Recommender) -> tuple[HeldOutRequest, ...]:
    fit = fit_of(rec)
    return fit.retriever(fit.snapshot(), None).requests


def variant(rec: Recommender, **fusion: object) -> Release:
    """The live release with other weights."""
    live = rec.releases.champion()
    assert live is not None
    parts = {name: live.read(name) for name in live.manifest["files"]}
    parts["fusion.json"] = json.dumps({**json.loads(parts["fusion.json"]), **fusion}).encode()
    return rec.releases.create(parts, {**live.manifest, "data": {**live.manifest["data"]}})


def test_the_better_one_passes_and_the_worse_and_the_equal_one_do_not(courses: Recommender) -> None:
    requests = requests_of(courses)
    good = variant(courses, retrieval_weight=1.0, llm_weight=0.01)
    same = variant(courses, retrieval_weight=2.0, llm_weight=0.02)
    bad = variant(courses, retrieval_weight=0.001, llm_weight=5.0)
    passed = judge_release(courses, good, bad, requests)
    assert passed.passed
    assert passed.comparison is not None
    assert passed.comparison.difference is not None
    assert passed.comparison.difference > 0.1
    assert "better than the champion" in passed.reason
    refused = judge_release(courses, bad, good, requests)
    assert not refused.passed
    equal = judge_release(courses, same, good, requests)
    assert not equal.passed
    assert equal.comparison is not None
    assert equal.comparison.difference == 0
    assert json.dumps(refused.to_dict())


def test_without_a_champion_anything_passes_and_without_requests_nothing(courses: Recommender) -> None:
    live = courses.releases.champion()
    assert live is not None
    assert judge_release(courses, live, None, ()).passed
    assert not judge_release(courses, live, live, ()).passed


def test_an_answer_the_champion_may_know_is_asked_on_the_challengers_lists(
    courses: Recommender, monkeypatch: pytest.MonkeyPatch
) -> None:
    requests = requests_of(courses)
    asked: list[HeldOutRequest] = []
    real = module._own

    def watched(request: HeldOutRequest, retriever: object) -> object:
        asked.append(request)
        return real(request, retriever)  # type: ignore[arg-type]

    monkeypatch.setattr(module, "_own", watched)
    live = courses.releases.champion()
    assert live is not None
    judge_release(courses, live, live, requests)
    assert not asked
    sequences = sorted(one.answer.sequence or 0 for one in requests)
    middle = sequences[len(sequences) // 2]
    older = courses.releases.create(
        {name: live.read(name) for name in live.manifest["files"]},
        {**live.manifest, "data": {"last_sequence": middle}},
    )
    judge_release(courses, live, older, requests)
    assert {one.answer.sequence for one in asked} == {number for number in sequences if number > middle}
    asked.clear()
    without = courses.releases.create(
        {name: live.read(name) for name in live.manifest["files"]},
        {**live.manifest, "data": {**live.manifest["data"], "withheld": [middle]}},
    )
    judge_release(courses, live, without, requests)
    assert [one.answer.sequence for one in asked] == [middle]


def test_an_item_that_takes_places_without_having_earned_them_is_refused(
    courses: Recommender, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_CUTOFF", 1)
    requests = requests_of(courses)
    good, real = variant(courses, retrieval_weight=1.0, llm_weight=0.01), module._ranked
    pushed = variant(courses, retrieval_weight=1.0, llm_weight=0.02)

    def pushing(fused: FusedRanker, *given: object) -> tuple[RankedItem, ...]:
        ranked = real(fused, *given)  # type: ignore[arg-type]
        return tuple(sorted(ranked, key=lambda one: fused.fusion.llm_weight == 0.02 and one.item.item_id != "s3"))

    monkeypatch.setattr(module, "_ranked", pushing)
    # Had it been taken by many whom the champion knew, it would have earned the places.
    assert judge_release(courses, pushed, good, requests).refused_by == ("quality",)
    monkeypatch.setattr(module, "earned_shares", lambda _events, _champion, items: dict.fromkeys(items, 0.01))
    verdict = judge_release(courses, pushed, good, requests)
    assert not verdict.passed
    assert "exposure" in verdict.refused_by
    assert "item 's3' would be on" in verdict.reason
    assert [one[0] for one in verdict.exposed] == ["s3"]
    assert json.dumps(verdict.to_dict())


def test_chances_that_are_clearly_worse_are_refused(courses: Recommender) -> None:
    requests, live = requests_of(courses), courses.releases.champion()
    assert live is not None
    bold = {**live.part("fusion.json")["fused"], "slope": 0.0, "intercept": 5.0}
    good = variant(courses, retrieval_weight=1.0, llm_weight=0.01)
    boasting = variant(courses, retrieval_weight=1.0, llm_weight=0.01, fused=bold)
    verdict = judge_release(courses, boasting, good, requests)
    assert "calibration" in verdict.refused_by
    assert "worse calibrated" in verdict.reason
    assert "calibration" not in judge_release(courses, good, boasting, requests).refused_by


def test_the_log_score_is_best_where_chances_are_true() -> None:
    """Of a list that holds the answer half of the time, always at the same place."""

    def expected(chance: float) -> float:
        item = Item("a", "A")
        ranked = [RankedItem(1, item, 0.0, {}, chance)]
        return (module._surprise(ranked, "a", 100) + module._surprise(ranked, "b", 100)) / 2

    assert min((0.1, 0.3, 0.5, 0.7, 0.9, 1.0), key=expected) == 0.5


def test_a_release_that_is_much_slower_is_refused(courses: Recommender, monkeypatch: pytest.MonkeyPatch) -> None:
    requests = requests_of(courses)
    quick = variant(courses, retrieval_weight=1.0, llm_weight=0.01)
    slow, real = variant(courses, retrieval_weight=1.0, llm_weight=0.02), module._ranked

    def dragging(fused: FusedRanker, *given: object) -> tuple[RankedItem, ...]:
        time.sleep(0.4 if fused.fusion.llm_weight == 0.02 else 0.0)
        return real(fused, *given)  # type: ignore[arg-type]

    monkeypatch.setattr(module, "_ranked", dragging)
    assert "latency" in judge_release(courses, slow, quick, requests[:9]).refused_by
    assert "latency" not in judge_release(courses, quick, slow, requests[:9]).refused_by


class CredulousLanguageModel(OverlapLanguageModel):
    """Believes a title that says Yes, and lets it spoil what is asked about beside it."""

    def __init__(self, spoils: float) -> None:
        super().__init__()
        self._spoils = spoils

    def score(self, prefix: Sequence[int], suffixes: Sequence[Sequence[int]]) -> NDArray[np.float32]:
        (yes,) = self.tokenize(Segment("Yes", trusted=True))
        said = np.array([sum(index == yes for index in suffix) for suffix in suffixes], np.float32)
        return said - self._spoils * (said.max() - said)


@pytest.mark.parametrize(("spoils", "said"), [(0.0, "rises by"), (1.0, "moves another item's score")])
def test_titles_that_ask_for_the_first_place_do_not_get_it(courses: Recommender, spoils: float, said: str) -> None:
    fused = courses.answering()[1]
    assert fused.ranker is not None
    credulous = FusedRanker(fused.fusion, fused.ranker.asking(CredulousLanguageModel(spoils)))
    found = module._safety(credulous, fused)
    assert not found.passed
    assert said in found.said
    assert module._safety(fused, fused).passed


def test_accounts_made_for_it_earn_an_item_nothing(courses: Recommender) -> None:
    champion = courses.releases.champion()
    assert champion is not None
    before = earned_shares(courses.store.events_by_user(), champion, ["s3"])["s3"]
    assert 0 < before < 1
    # Some are thin, and some as busy as anybody.
    thin = [Event(f"fake{number}", "s3") for number in range(250)]
    busy = [Event(f"bot{number}", f"s{step}") for number in range(50) for step in range(1, 9)]
    courses.add_events([*thin, *busy])
    assert earned_shares(courses.store.events_by_user(), champion, ["s3"])["s3"] == before
    crowd = crowded_out(courses.store.events_by_user(), champion, 1.0)
    kept = [one for one in courses.store.events_by_user() if one.sequence not in crowd and one.user_id[0] in "fb"]
    share = sum(one.item_id == "s3" for one in kept) / len(kept)
    assert share < 0.25
    assert not crowded_out(courses.store.events_by_user(), champion, 1_000.0)


def test_beyond_the_quota_the_idlest_accounts_are_left_out_first(courses: Recommender) -> None:
    champion = courses.releases.champion()
    assert champion is not None
    thin = [Event(f"fake{number}", "s3") for number in range(100)]
    courses.add_events([*thin, *(Event("new", f"s{step}") for step in range(1, 9))])
    crowd = crowded_out(courses.store.events_by_user(), champion, 1.0)
    assert sum(one.sequence in crowd for one in courses.store.events("new")) == 0  # it came last, and took more
    assert any(one.sequence in crowd for one in courses.store.events("fake99"))


def test_who_keeps_out_of_learning_earns_an_item_nothing(courses: Recommender) -> None:
    champion = courses.releases.champion()
    assert champion is not None
    before = module._earned(courses, champion, ["s3"])["s3"]
    for user in list(courses.users()):
        if any(event.item_id == "s3" for event in courses.store.events(user.user_id)):
            courses.add_users([replace(user, attributes={**user.attributes, User.LEARNING: False})])
    assert before > 0
    assert module._earned(courses, champion, ["s3"])["s3"] == 0


@pytest.mark.parametrize(("gain", "least", "most"), [(0.0, 0, 14), (0.05, 80, 100)])
def test_how_often_it_passes(gain: float, least: int, most: int) -> None:
    """Of 100 challengers, whose 200 lists differ from the champion's as two releases' do."""
    passed = 0
    for seed in range(100):
        draw = np.random.default_rng(seed)
        old = draw.random(200)
        new = old + draw.normal(gain, 0.15, 200)
        (compared,) = paired(new[:, None], old[:, None], resamples=200, seed=seed)
        passed += module._quality(compared, 200).passed
    assert least <= passed <= most
