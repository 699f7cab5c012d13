"""Weights follow the evidence, and the probability is one."""

import numpy as np
import pytest

from llmrec.ranking import Fusion, JudgedList, fit_fusion
from llmrec.ranking.fusion import PRIOR_LLM, PRIOR_RETRIEVAL


def lists(count: int, *, informed_by: str, seed: int = 0) -> list[JudgedList]:
    """Lists of 20 in which the taken item is drawn by the softmax of one opinion."""
    rng = np.random.default_rng(seed)
    made = []
    for _ in range(count):
        retrieval, llm = rng.normal(0.5, 0.1, 20), rng.normal(0, 1, 20)
        logits = 20 * retrieval if informed_by == "retrieval" else 3 * llm
        chances = np.exp(logits - logits.max())
        taken = int(rng.choice(20, p=chances / chances.sum()))
        made.append(JudgedList(retrieval, llm, taken))
    return made


def fit(judged: list[JudgedList], missed: int = 0) -> Fusion:
    return fit_fusion(judged, judged, requests=len(judged) + missed)


def test_with_no_list_the_prior_weights_hold_and_chances_are_small() -> None:
    fusion = fit([], missed=50)
    assert (fusion.retrieval_weight, fusion.llm_weight) == (PRIOR_RETRIEVAL, PRIOR_LLM)
    assert fusion.probability(fusion.parts(0.9, 1.0)) < 0.02


def test_requests_the_model_was_not_asked_about_still_calibrate_the_retriever() -> None:
    hits = lists(200, informed_by="retrieval")
    fusion = fit_fusion([], hits, requests=400)
    best, worst = (fusion.probability(fusion.parts(retrieval, None)) for retrieval in (0.7, 0.3))
    assert best > 3 * worst


def test_the_opinion_that_knows_gets_the_weight() -> None:
    by_llm = fit(lists(300, informed_by="llm"))
    by_retrieval = fit(lists(300, informed_by="retrieval"))
    assert by_llm.llm_weight == pytest.approx(3, rel=0.25)
    assert by_retrieval.retrieval_weight == pytest.approx(20, rel=0.25)
    assert by_retrieval.llm_weight < 0.2
    assert by_llm.retrieval_weight < 5


def test_a_few_lists_move_the_weights_only_a_little_and_never_to_zero() -> None:
    few = fit(lists(3, informed_by="retrieval"))
    assert PRIOR_LLM / 10 < few.llm_weight < PRIOR_LLM * 10
    assert PRIOR_RETRIEVAL / 10 < few.retrieval_weight < PRIOR_RETRIEVAL * 10


def test_probabilities_match_how_often_items_are_taken() -> None:
    fusion = fit(lists(400, informed_by="llm"), missed=400)
    expected = 0.0
    for judged in lists(400, informed_by="llm", seed=1):
        assert judged.llm is not None
        pairs = zip(judged.retrieval, judged.llm, strict=True)
        chances = [fusion.probability(fusion.parts(float(one), float(other))) for one, other in pairs]
        assert all(0 <= chance <= 1 for chance in chances)
        expected += sum(chances)
    assert expected == pytest.approx(400 * 0.5, rel=0.15)


def test_a_higher_score_never_means_a_lower_probability() -> None:
    rng = np.random.default_rng(3)
    backwards = [JudgedList(values := rng.normal(size=10), -values, int(values.argmin())) for _ in range(50)]
    fusion = fit(backwards)
    assert fusion.retrieval_only.slope > 0
    assert fusion.fused.slope > 0


def test_without_a_model_its_weight_stays_at_the_prior() -> None:
    fusion = fit([JudgedList(judged.retrieval, None, judged.taken) for judged in lists(50, informed_by="retrieval")])
    assert fusion.llm_weight == pytest.approx(PRIOR_LLM, rel=0.01)


def test_it_survives_json() -> None:
    fusion = fit(lists(10, informed_by="llm"))
    assert Fusion.from_dict(fusion.to_dict()) == fusion
