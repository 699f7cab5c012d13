"""Explanations worded by a language model: never more than the evidence, whatever the model writes."""

from collections.abc import Sequence
from pathlib import Path

import pytest

from llmrec import Recommender
from llmrec.errors import ConfigError, ScoringError
from llmrec.models import TransformersLM
from llmrec.testing import FailingLanguageModel, OverlapLanguageModel, TalkingLanguageModel
from tests.conftest import open_shop
from tests.models.conftest import smollm, smollm_float32

__all__ = ["smollm", "smollm_float32"]

TRUE = "Leaf rake is offered because you bought Garden spade."
SAYS = " bought Garden spade."
"""What the model writes behind the beginning that every answer has."""
LIE = " bought Soup pot."
WORDED = {"explain": {"wording": "model"}}


def explained(path: Path, model: OverlapLanguageModel | TransformersLM, user: str = "cem") -> tuple[str, str, str]:
    """The text, the template's text, and the last note."""
    with open_shop(path / "shop", language_model=model) as rec:
        rec.fit()
        template = rec.explain(user, "rake").text
    with Recommender.open(path / "shop", WORDED, language_model=model, encoder=rec._parts.text_encoder()) as rec:
        found = rec.explain(user, "rake")
    assert found.by_model is (found.text != template)
    return found.text, template, found.trace.notes[-1]


def test_the_model_words_the_facts_it_is_given(tmp_path: Path) -> None:
    model = TalkingLanguageModel(SAYS)
    text, template, note = explained(tmp_path, model)
    assert text == TRUE != template
    assert note == "worded by overlap; 0 of 1 sentences were dropped"
    (asked,) = model.asked
    facts = asked.rpartition("offer : ")[2]
    assert facts.startswith("leaf rake what you did that speaks for it : bought")
    assert "bought garden spade" in facts
    assert "room : garden" in facts


def test_what_a_liar_says_is_dropped(tmp_path: Path) -> None:
    text, _, note = explained(tmp_path, TalkingLanguageModel(f"{SAYS} You{LIE}"))
    assert text == TRUE
    assert note == "worded by overlap; 1 of 2 sentences were dropped"


@pytest.mark.parametrize("says", [LIE, "", " will love it!", " bought Garden spade"])
def test_where_nothing_is_left_the_template_is_the_text(tmp_path: Path, says: str) -> None:
    text, template, note = explained(tmp_path, TalkingLanguageModel(says))
    assert text == template
    assert note.startswith("worded by the template: of overlap")


class Mute(OverlapLanguageModel):
    """Ranks, and cannot write."""

    def write(self, prompt: Sequence[int], most: int, *, begin: Sequence[int] = ()) -> str:
        raise ScoringError("no time left", hint="wait")


def test_where_the_model_fails_the_template_is_the_text(tmp_path: Path) -> None:
    text, template, note = explained(tmp_path, Mute())
    assert text == template
    assert note == "worded by the template: no time left"


def test_a_model_that_could_not_rank_is_not_asked_to_write(tmp_path: Path, shop: Recommender) -> None:
    with Recommender.open(
        shop.workspace.root, WORDED, language_model=FailingLanguageModel(), encoder=shop._parts.text_encoder()
    ) as rec:
        assert rec.explain("cem", "rake").trace.notes[-1] == "worded by the template: out of memory"


def test_without_a_reason_there_is_nothing_to_word(tmp_path: Path) -> None:
    model = TalkingLanguageModel(SAYS)
    text, template, note = explained(tmp_path, model, "nobody")
    assert text == template
    assert note == "worded by the template: no event is a reason"
    assert model.asked == []


def test_the_template_words_by_default_and_says_nothing_of_it(shop: Recommender) -> None:
    assert not any("worded" in note for note in shop.explain("cem", "rake").trace.notes)


def test_another_wording_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"explain\.wording"):
        Recommender.create(tmp_path / "w", {"explain": {"wording": "poem"}})


def test_a_real_model_says_only_what_is_so(
    tmp_path: Path, smollm_float32: TransformersLM, monkeypatch: pytest.MonkeyPatch
) -> None:
    # With these weights it words the evidence in a sentence that is so; so small a model does not always manage to.
    monkeypatch.setattr("llmrec.ranking.fusion.PRIOR_LLM", 1.0)
    text, template, note = explained(tmp_path, smollm_float32)
    assert "worded by" in note
    assert text != template
    assert "Leaf rake" in text
    assert "Garden spade" in text
    assert not [title for title in ("Soup pot", "Kitchen knife", "Garden hose", "Kitchen board") if title in text]
