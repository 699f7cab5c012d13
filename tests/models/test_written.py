"""How likely texts are: read in one pass with all that shares their beginning, as if each stood alone."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
import transformers

from llmrec.errors import ScoringError
from llmrec.models import PromptTree, TransformersLM
from llmrec.models.tree import flat

from .conftest import MakeModel
from .test_lm import KINDS, OFFERS, deep_tree, words

ALL_KINDS = {**KINDS, "scaled": (transformers.GraniteConfig, {"logits_scaling": 4.0})}


def texts(lm: TransformersLM) -> PromptTree:
    """As `deep_tree`, all leaves texts of several lengths."""
    return as_texts(deep_tree(lm))


def as_texts(tree: PromptTree) -> PromptTree:
    children = tuple(map(as_texts, tree.children))
    return replace(tree, children=children, written=not children)


def plainly(lm: TransformersLM, tree: PromptTree) -> list[float]:
    """By transformers' own logits, one prompt after the other."""
    found = []
    for ids, leaf in zip(tree.prompts(), tree.ends(), strict=True):
        with torch.no_grad():
            told = lm.model(torch.tensor([ids])).logits[0].float().log_softmax(dim=-1)
        counted = range(len(ids) - len(leaf.ids) + 1, len(ids))
        found.append(float(np.mean([told[place - 1, ids[place]] for place in counted])))
    return found


@pytest.mark.parametrize("kind", ALL_KINDS)
@pytest.mark.parametrize("batch_tokens", [8, 4096])
def test_texts_are_as_likely_as_if_each_stood_alone(kind: str, batch_tokens: int, make_model: MakeModel) -> None:
    config_class, settings = ALL_KINDS[kind]
    source = make_model(config_class, **settings)
    lm = TransformersLM.load(source, device="cpu", dtype="float32", batch_tokens=batch_tokens, states_bytes=1 << 20)
    tree = texts(lm)
    expected = plainly(lm, tree)
    assert np.ptp(expected) > 0.01
    for _ in range(2):  # from nothing, and from what was read before
        np.testing.assert_allclose(lm.score_trees([tree]), expected, atol=1e-4)
    np.testing.assert_allclose(lm._score([tree], "separate"), expected, atol=1e-4)


def test_questions_and_texts_may_share_a_pass(make_model: MakeModel) -> None:
    lm = TransformersLM.load(make_model(transformers.LlamaConfig), device="cpu", dtype="float32")
    asked, told = deep_tree(lm), texts(lm)
    apart = np.concatenate([lm.score_trees([one]) for one in (asked, told)])
    np.testing.assert_allclose(lm.score_trees([asked, told]), apart, atol=1e-4)
    mixed = PromptTree(asked.ids, (*asked.children, *told.children))
    np.testing.assert_allclose(lm.score_trees([mixed]), apart, atol=1e-4)
    assert not np.allclose(*np.split(apart, 2), atol=0.1)


def test_the_other_texts_change_nothing(make_model: MakeModel) -> None:
    lm = TransformersLM.load(make_model(transformers.LlamaConfig), device="cpu", dtype="float32")
    offers = [words(lm, f" - {offer}") for offer in OFFERS]
    prefix = words(lm, "A customer took Rain Songs")
    scores = lm.score_trees([flat(prefix, offers, written=True)])
    assert np.array_equal(lm.score_trees([flat(prefix, offers[::-1], written=True)]), scores[::-1])
    alone = np.concatenate([lm.score_trees([flat(prefix, [one], written=True)]) for one in offers])
    np.testing.assert_allclose(alone, scores, atol=1e-4)


@pytest.mark.parametrize("kind", ["llama", "qwen3"])
def test_gradients_through_packed_texts_are_those_of_separate_ones(kind: str, make_model: MakeModel) -> None:
    config_class, settings = KINDS[kind]
    lm = TransformersLM.load(make_model(config_class, **settings), device="cpu", dtype="float32")
    found = []
    for read in (lm._reader.read_dense, lm._reader.read_each):
        scores = read([texts(lm)])
        (scores * torch.linspace(-1, 1, len(scores))).sum().backward()
        found.append([weight.grad.clone() for weight in lm.model.parameters() if weight.grad is not None])
        lm.model.zero_grad()
    assert len(found[0]) == len(found[1]) > 10
    for one, other in zip(*found, strict=True):
        assert float((one - other).norm()) <= 1e-4 * float(other.norm())


def test_a_text_of_one_token_is_refused(make_model: MakeModel) -> None:
    lm = TransformersLM.load(make_model(transformers.LlamaConfig), device="cpu", dtype="float32")
    with pytest.raises(ScoringError, match="one token") as caught:
        lm.score_trees([flat((5, 6), [(7,)], written=True)])
    assert "line break" in caught.value.hint
