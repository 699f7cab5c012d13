"""Asked for titles, the model learns to write histories, without what validation or the gate asks about."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.special import log_softmax

from llmrec import Event, Recommender
from llmrec.errors import ConfigError, ReleaseError
from llmrec.learning import retrain
from llmrec.learning.examples import text_examples, whole_example
from llmrec.learning.export import export_lists
from llmrec.learning.histories import history_examples
from llmrec.learning.lessons import Lessons, _example, _plain
from llmrec.learning.training import AdapterOptions, list_losses, odds_of, train_adapter
from llmrec.models import TransformersLM
from llmrec.models.lora import LoraShape
from llmrec.ranking import PromptLibrary, Ranker
from llmrec.testing import WordEncoder
from tests.learning.test_retraining import STEPS, USERS, fill, fit_of, settings, taken


def titled(base: Path, **learning: object) -> dict[str, Any]:
    wanted: dict[str, Any] = settings(base)
    wanted["ranking"] = {**wanted["ranking"], "ask": "title"}
    wanted["learning"] |= {"epochs": 8, "validations": 1, "patience": 9, **learning}
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
    assert all(one.kind == "text" and not one.trimmed for one in examples)
    held = set(served.trained.held_out) if served.trained else set()
    assert held
    expected = []
    for user, events in enumerate(taken()):
        left = 6 - 2 * (user == 3) - (f"u{user}" in held)
        titles = [fit.catalogue.items[str(event.item_id)].title for event in events[:left]]
        expected.append("".join(f"\n- {title}" for title in titles))
    assert told == sorted(expected)
    learning = fit.settings.learning.model_copy(update={"title_tokens": 40})
    few = replace(fit, settings=fit.settings.model_copy(update={"learning": learning}))
    first, again, second = (history_examples(few, served, fit.snapshot(), asked, epoch) for epoch in (0, 0, 1))
    assert 0 < len(first) < len(examples)
    assert [one.tree for one in first] == [one.tree for one in again] != [one.tree for one in second]


def test_a_history_that_does_not_fit_is_counted(courses: Recommender, tiny: TransformersLM) -> None:
    asked = Ranker(tiny, PromptLibrary(), history_tokens=28, ask="title")
    (made,) = text_examples([courses.history("u1")], asked, courses.catalogue().items, longest=500)
    assert 2 <= tiny.text(made.tree.children[0].ids).count("\n- ") < 6
    assert made.trimmed == 1


def test_what_texts_teach_is_validated_at_its_best_weight(courses: Recommender, tiny: TransformersLM) -> None:
    fit = fit_of(courses)
    served = fit.retriever(fit.snapshot(), None)
    asked, items = ranker(tiny), fit.catalogue.items
    requests = [one for one in served.requests if one.taken is not None][:6]
    lists = [whole_example(request, asked, items) for request in requests]
    texts = history_examples(fit, served, fit.snapshot(), asked)
    gains = []
    for weight in (0.25, 4.0):
        learner = tiny.learner(LoraShape(rank=2))
        options = AdapterOptions(epochs=1, learning_rate=1e-9, weight=weight, validations=1)
        state = train_adapter(learner, Lessons(lambda _: texts, lists, "these"), options)
        odds = [odds_of(learner, one) for one in lists]
        learner.close()
        found = [
            np.mean(
                [log_softmax(one.offsets + weight * factor * said)[0] for one, said in zip(lists, odds, strict=True)]
            )
            for factor in (0, 1 / 16, 1 / 8, 1 / 4, 1 / 2, 1, 2, 4)
        ]
        assert state.gains[0] == pytest.approx(max(found[1:]) - found[0], abs=1e-4)
        gains.append(state.gains[0])
    assert gains[0] != gains[1]


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


@pytest.fixture
def uncounted(tmp_path: Path, tiny_base: Path):  # type: ignore[no-untyped-def]
    """Courses whose texts alone the retriever knows: what follows what is the language model's to find."""
    wanted = titled(tiny_base)
    wanted["encoder"]["minimum_events"] = 10_000
    with Recommender.create(tmp_path / "uncounted", wanted, encoder=WordEncoder()) as rec:
        fill(rec)
        yield rec


def test_what_follows_what_is_learnt_from_histories_and_served(uncounted: Recommender) -> None:
    courses = uncounted
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


def test_a_second_release_goes_on_from_the_first_and_through_the_gate(uncounted: Recommender, tiny_base: Path) -> None:
    first = retrain(uncounted, progress=False)
    assert first is not None
    wanted = titled(tiny_base, start="champion", epochs=1)
    wanted["encoder"]["minimum_events"] = 10_000
    with Recommender.open(uncounted.workspace.root, wanted, encoder=WordEncoder()) as rec:
        rec.add_events(Event(f"u{user}", f"s{(user + 3) % STEPS}") for user in range(0, USERS, 2))
        run = retrain(rec, progress=False)
    assert run is not None
    assert run.verdict.users > 0
    assert {check.name for check in run.verdict.checks} >= {"quality", "calibration", "safety"}
    # What was learnt before is there at the beginning.
    gains = run.release.manifest["metrics"]["adapter"]["gains"]
    assert gains[0] > first.release.manifest["metrics"]["adapter"]["gains"][0]


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
        pytest.raises(ReleaseError, match="prompt") as caught,
    ):
        rec.recommend("u1")
    assert 'it was made with ask = "title", attributes' in caught.value.hint
