"""Asked for titles, the model learns to write histories, without what validation or the gate asks about."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from llmrec import Recommender
from llmrec.errors import ConfigError, ReleaseError
from llmrec.learning import retrain
from llmrec.learning.examples import text_examples, whole_example
from llmrec.learning.export import export_lists
from llmrec.learning.histories import history_examples
from llmrec.learning.lessons import _example, _plain
from llmrec.learning.training import list_losses, odds_of
from llmrec.models import TransformersLM
from llmrec.models.lora import LoraShape
from llmrec.ranking import PromptLibrary, Ranker
from llmrec.testing import WordEncoder
from tests.learning.test_retraining import USERS, fill, fit_of, settings


def titled(base: Path, **learning: object) -> dict[str, Any]:
    wanted: dict[str, Any] = settings(base)
    wanted["ranking"] = {**wanted["ranking"], "ask": "title"}
    wanted["learning"] |= {"epochs": 8, **learning}
    return wanted


def ranker(lm: TransformersLM) -> Ranker:
    return Ranker(lm, PromptLibrary(), history_tokens=200, ask="title")


@pytest.fixture
def courses(tmp_path: Path, tiny_base: Path):  # type: ignore[no-untyped-def]
    with Recommender.create(tmp_path / "courses", titled(tiny_base), encoder=WordEncoder()) as rec:
        fill(rec)
        yield rec


def test_histories_are_told_without_what_is_asked_about(courses: Recommender, tiny: TransformersLM) -> None:
    fit = fit_of(courses)
    hidden = frozenset(event.sequence for event in courses.store.events("u3")[-2:] if event.sequence)
    fit = replace(fit, hidden=hidden)
    served = fit.retriever(fit.snapshot(), None)
    asked = ranker(tiny)
    examples = history_examples(fit, served, fit.snapshot(), asked)
    told = sorted(tiny.text(leaf.ids) for one in examples for leaf in one.tree.ends())
    assert all(one.kind == "text" for one in examples)
    assert len(told) == USERS
    lengths = [text.count("\n- ") for text in told]
    held = set(served.trained.held_out) if served.trained else set()
    assert sorted(lengths) == sorted(6 - 2 * (f"u{user}" == "u3") - (f"u{user}" in held) for user in range(USERS))
    learning = fit.settings.learning.model_copy(update={"title_tokens": 40})
    few = replace(fit, settings=fit.settings.model_copy(update={"learning": learning}))
    assert 0 < len(history_examples(few, served, fit.snapshot(), asked)) < len(examples)


def test_several_histories_share_a_tree_of_bounded_length(courses: Recommender, tiny: TransformersLM) -> None:
    asked, items = ranker(tiny), courses.catalogue().items
    histories = [courses.history(f"u{user}") for user in range(8)]
    made = list(text_examples(histories, asked, items, longest=120))
    assert 1 < len(made) < 8
    assert all(one.tree.tokens <= 120 for one in made)
    learner = tiny.learner(LoraShape(rank=2))
    losses = np.concatenate([list_losses(learner([one.tree]), one).detach().numpy() for one in made])
    learner.close()
    expected = [-float(tiny.score_trees([one.tree])[place]) for one in made for place in range(len(one.lengths))]
    np.testing.assert_allclose(losses, expected, atol=1e-4)
    assert _example(_plain(made[0])).tree == made[0].tree
    assert _example(_plain(made[0])).kind == "text"


def test_a_whole_list_is_validated_as_it_will_be_scored(courses: Recommender, tiny: TransformersLM) -> None:
    fit = fit_of(courses)
    served = fit.retriever(fit.snapshot(), None)
    request = next(one for one in served.requests if one.taken is not None)
    asked, items = ranker(tiny), fit.catalogue.items
    example = whole_example(request, asked, items)
    learner = tiny.learner(LoraShape(rank=2))
    found = odds_of(learner, example)
    learner.close()
    scores, _ = asked.score(asked.shared(request.before, items), request.candidates)
    order = [request.taken, *(place for place in range(len(scores)) if place != request.taken)]
    np.testing.assert_allclose(found, scores[order], atol=1e-4)


def test_what_follows_what_is_learnt_from_histories_and_served(courses: Recommender) -> None:
    run = retrain(courses, progress=False)
    assert run is not None
    about = run.release.manifest["metrics"]["adapter"]
    assert about["taught"] == USERS
    assert about["losses"][-1] < about["losses"][1] - 0.3
    assert max(about["gains"]) > about["gains"][0]
    found = courses.recommend("u1", 3)
    assert found.release == run.release.version
    assert all("llm" in one.parts for one in found.items)
    assert courses.explain("u1", found.items[0].item.item_id).text


def test_there_is_no_question_to_export(courses: Recommender, tmp_path: Path) -> None:
    courses.fit()
    with pytest.raises(ConfigError, match="no question"):
        export_lists(courses, tmp_path / "rows.jsonl")
    assert not list(tmp_path.glob("rows*"))


def test_a_release_that_was_asked_otherwise_is_refused(courses: Recommender, tiny_base: Path) -> None:
    retrain(courses, progress=False)
    other = titled(tiny_base)
    other["ranking"]["ask"] = "choice"
    with (
        Recommender.open(courses.workspace.root, other, encoder=WordEncoder()) as rec,
        pytest.raises(ReleaseError, match="prompt"),
    ):
        rec.recommend("u1")
