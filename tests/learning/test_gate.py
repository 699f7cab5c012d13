"""The gate lets a better release through, and no other."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from llmrec import Recommender
from llmrec.evaluation.uncertainty import paired
from llmrec.learning import gate as module
from llmrec.learning.gate import judge_release
from llmrec.ranking import HeldOutRequest
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


def variant(rec: Recommender, **fusion: float) -> Release:
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


def test_an_item_that_takes_places_without_having_earned_them_is_refused(
    courses: Recommender, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_CUTOFF", 1)
    monkeypatch.setattr(module, "_EXPOSURE_FREE", 0.1)
    requests = requests_of(courses)
    good, real = variant(courses, retrieval_weight=1.0, llm_weight=0.01), module._ranked
    pushed = variant(courses, retrieval_weight=1.0, llm_weight=0.02)

    def pushing(fused: object, *given: object) -> list[str]:
        ranked = real(fused, *given)  # type: ignore[arg-type]
        if fused.fusion.llm_weight == 0.02 and "s3" in ranked[:6]:  # type: ignore[attr-defined]
            return ["s3", *(one for one in ranked if one != "s3")]
        return ranked

    monkeypatch.setattr(module, "_ranked", pushing)
    verdict = judge_release(courses, pushed, good, requests)
    assert not verdict.passed
    assert "item 's3' would be on" in verdict.reason
    assert [one[0] for one in verdict.exposed] == ["s3"]


@pytest.mark.parametrize(("gain", "least", "most"), [(0.0, 0, 14), (0.05, 80, 100)])
def test_how_often_it_passes(gain: float, least: int, most: int) -> None:
    """Of 100 challengers, whose 200 lists differ from the champion's as two releases' do."""
    passed = 0
    for seed in range(100):
        draw = np.random.default_rng(seed)
        old = draw.random(200)
        new = old + draw.normal(gain, 0.15, 200)
        (compared,) = paired(new[:, None], old[:, None], resamples=200, seed=seed)
        passed += module._verdict(compared, 200, ()).passed
    assert least <= passed <= most
