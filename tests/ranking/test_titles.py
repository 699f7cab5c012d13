"""Asked for titles: how much likelier a history makes an item's line than it is behind none."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from llmrec import Event, History, Item, User
from llmrec.errors import PromptError
from llmrec.models import PromptTree, TransformersLM
from llmrec.models.tree import flat
from llmrec.ranking import PromptLibrary, Ranker
from llmrec.records import Candidate
from tests.tiny import tiny, tiny_base

__all__ = ["tiny", "tiny_base"]

TITLES = ["Amber road", "Birch grove, the", "Coral", "Delta blues II"]
ITEMS = {f"i{place}": Item(f"i{place}", title) for place, title in enumerate(TITLES)}
EVENTS = (
    Event("u", "i0", "view"),
    Event("u", "i1", "rating", value=4.0),
    Event("u", "i2", "dislike"),
    Event("u", kind="search", text="blues"),
)
HISTORY = History(User("u", {"age": 31}), EVENTS, frozenset({"i0"}), 4)
CANDIDATES = [Candidate(ITEMS[name], 0.0) for name in ("i3", "i0", "i2")]


@pytest.fixture
def asker(tiny: TransformersLM) -> Ranker:
    return Ranker(tiny, PromptLibrary(), history_tokens=150, ask="title")


def lines(asker: Ranker) -> list[tuple[int, ...]]:
    return [asker.candidate(one)[0] for one in CANDIDATES]


def test_a_score_is_what_the_history_adds_to_a_line(asker: Ranker) -> None:
    shared = asker.shared(HISTORY, ITEMS)
    behind, alone = (
        asker.model.score_trees([flat(before, lines(asker), written=True)]) for before in (shared.ids, asker.beginning)
    )
    scores, _ = asker.score(shared, CANDIDATES)
    tokens = [len(line) for line in lines(asker)]
    np.testing.assert_allclose(scores, (behind - alone) * np.sqrt(tokens), atol=1e-4)
    assert len(set(tokens)) > 1
    assert np.abs(scores).max() > 0.01


def test_what_was_taken_looks_as_a_candidate_does(asker: Ranker) -> None:
    shared = asker.shared(History(events=EVENTS[:2]), ITEMS)
    taken, _ = asker.candidate(Candidate(ITEMS["i0"], 0.0))
    assert shared.lines[0] == taken
    told = asker.model.text([*shared.head, *taken, *shared.lines[1], *shared.tail])  # type: ignore[attr-defined]
    assert "Birch grove, the, rated 4" in told
    assert "?" not in told


def test_without_history_nothing_is_likelier(asker: Ranker) -> None:
    scores, _ = asker.score(asker.shared(History(), ITEMS), CANDIDATES)
    np.testing.assert_allclose(scores, 0, atol=1e-4)


def test_how_likely_a_line_is_by_itself_is_read_once(asker: Ranker, monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[int] = []
    real = TransformersLM.score_trees

    def counted(model: TransformersLM, trees: list[PromptTree], **given: str) -> np.ndarray:
        read.append(sum(tree.leaves for tree in trees))
        return real(model, trees, **given)  # type: ignore[arg-type]

    monkeypatch.setattr(TransformersLM, "score_trees", counted)
    shared = asker.shared(HISTORY, ITEMS)
    first, _ = asker.score(shared, CANDIDATES)
    again, _ = asker.score(shared, [*CANDIDATES, Candidate(ITEMS["i1"], 0.0)])
    np.testing.assert_allclose(again[:3], first, atol=1e-4)
    assert read == [6, 5]
    asker.asking(asker.model).score(shared, CANDIDATES)
    assert read[-1] == 6  # other weights may be asked by it


def test_without_an_event_the_score_is_that_of_a_history_without_its_line(asker: Ranker) -> None:
    shared, one = asker.shared(HISTORY, ITEMS), CANDIDATES[0]
    found = asker.score_without_each(shared, one)
    for gone, score in enumerate(found):
        left = replace(shared, lines=(*shared.lines[:gone], *shared.lines[gone + 1 :]))
        assert score == pytest.approx(float(asker.score(left, [one])[0][0]), abs=1e-4)
    assert len(found) == 4
    assert np.ptp(found) > 0
    single = asker.shared(History(events=EVENTS[:1]), ITEMS)
    assert asker.score_without_each(single, one) == pytest.approx([0.0], abs=1e-4)


def test_other_words_are_another_fingerprint(tiny: TransformersLM, tmp_path: Path) -> None:
    asked, told = (Ranker(tiny, PromptLibrary(), ask=ask) for ask in ("choice", "title"))  # type: ignore[arg-type]
    assert asked.fingerprint != told.fingerprint
    (tmp_path / "title.jinja").write_text(
        "{% block shared %}Taken:{{ history }}{% endblock %}{% block event %}\n+ {{ title }}{{ text }}{% endblock %}"
        "{% block candidate %}\n+ {{ title }}{% endblock %}"
    )
    own = Ranker(tiny, PromptLibrary(tmp_path), ask="title")
    assert own.fingerprint not in (asked.fingerprint, told.fingerprint)


def test_a_line_begins_with_words_that_are_not_asked_about(tmp_path: Path) -> None:
    (tmp_path / "title.jinja").write_text(
        "{% block shared %}Taken:{{ history }}{% endblock %}{% block event %}\n{{ title }}{{ text }}{% endblock %}"
        "{% block candidate %}{{ title }}{% endblock %}"
    )
    with pytest.raises(PromptError, match="block candidate: it must begin with words of its own"):
        PromptLibrary(tmp_path)


def test_of_no_candidate_nothing_is_said(asker: Ranker) -> None:
    scores, capped = asker.score(asker.shared(HISTORY, ITEMS), [])
    assert (scores.shape, capped) == ((0,), 0)
