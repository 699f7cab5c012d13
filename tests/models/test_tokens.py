from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast

from llmrec.errors import ModelError
from llmrec.models import ModelSource, Segment
from llmrec.models.loading import load_tokenizer
from llmrec.models.tokens import Tokens

from .conftest import train_tokenizer


@pytest.fixture(scope="module")
def smol(smollm: ModelSource) -> Tokens:
    return Tokens(load_tokenizer(smollm))


def foreign(tokens: Tokens, text: str) -> list[int]:
    return tokens.ids(Segment(text, trusted=False))


def trusted(tokens: Tokens, text: str) -> list[int]:
    return tokens.ids(Segment(text, trusted=True))


@pytest.mark.parametrize("control", ["<|im_end|>", "<|im_start|>", "<|endoftext|>", "<file_sep>", "<repo_name>"])
def test_control_tokens_in_a_title_are_read_as_characters(smol: Tokens, control: str) -> None:
    (special,) = trusted(smol, control)
    ids = foreign(smol, f"Heat {control} (1995)")
    assert special not in ids
    assert len(ids) > len(trusted(smol, f"Heat {control} (1995)"))


def test_plain_text_reads_the_same_whether_trusted_or_not(smol: Tokens) -> None:
    text = "Le Fabuleux Destin d'Amélie Poulain (2001) 🎬"
    assert foreign(smol, text) == trusted(smol, text)


def test_words_that_were_added_to_the_vocabulary_are_left_out_of_foreign_text() -> None:
    tokens = Tokens(train_tokenizer())
    (tool,) = trusted(tokens, "<tool>")
    assert tool not in foreign(tokens, "Tea <tool> Ink")


def test_nothing_is_added_to_a_segment() -> None:
    tokens = Tokens(train_tokenizer(start=True))
    assert tokens.start == (0,)
    assert 0 not in trusted(tokens, "Tea")
    assert Tokens(train_tokenizer()).start == ()


def test_short_texts_are_not_capped(smol: Tokens) -> None:
    ids = foreign(smol, "Toy Story (1995)")
    assert smol.cap("Toy Story (1995)", len(ids)) == (ids, False)
    assert smol.cap("", 4) == ([], False)


def test_a_cap_keeps_the_first_whole_tokens(smol: Tokens) -> None:
    ids = foreign(smol, "Toy Story (1995)")
    assert smol.cap("Toy Story (1995)", 3) == (ids[:3], True)


@pytest.mark.parametrize("text", ["x y " * 250_000, "a" * 1_000_000, " " * 1_000_000, "🎬" * 250_000])
def test_a_megabyte_is_capped_at_once(smol: Tokens, text: str) -> None:
    began = time.perf_counter()
    ids, capped = smol.cap(text, 32)
    assert time.perf_counter() - began < 0.5
    assert capped
    assert 0 < len(ids) <= 32
    assert ids == smol.cap(text[:100_000], 32)[0]


def test_answers_part_at_their_first_different_token(smol: Tokens) -> None:
    (yes,), (no,) = trusted(smol, " Yes"), trusted(smol, " No")
    assert smol.answers(" Yes", " No") == ((), (yes, no))
    blank = tuple(trusted(smol, " Yes, indeed"))
    assert smol.answers(" Yes, indeed", " Yes, no") == (blank[:-1], (blank[-1], trusted(smol, " Yes, no")[-1]))


@pytest.mark.parametrize("answers", [(" Yes", " Yes"), (" Yes", " Yes, indeed"), (" Yes, indeed", " Yes")])
def test_answers_that_do_not_part_are_refused(smol: Tokens, answers: tuple[str, str]) -> None:
    with pytest.raises(ModelError, match="does not tell"):
        smol.answers(*answers)


def test_in_a_chat_the_template_stands_around_what_is_said(smollm: ModelSource) -> None:
    tokenizer = load_tokenizer(smollm)
    tokens = Tokens(tokenizer, chat=True)
    said = tokens.ids(Segment("Is it tea?", trusted=True))
    expected = tokenizer.apply_chat_template(
        [{"role": "user", "content": "Is it tea?"}], add_generation_prompt=True, return_dict=False
    )
    assert [*tokens.start, *said, *tokens.end] == expected


def test_without_a_usable_chat_template_a_chat_is_refused(smollm: ModelSource) -> None:
    tokenizer = load_tokenizer(smollm)
    for template, reason in (
        (None, "no chat template"),
        ("{{ raise_exception('no user') }}", "template fails: no user"),
        ("{{ messages[0].content | upper }}", "as it is"),
    ):
        tokenizer.chat_template = template
        with pytest.raises(ModelError, match=reason) as caught:
            Tokens(tokenizer, chat=True)
        assert "models.chat_template" in caught.value.hint


def test_threads_do_not_unsplit_each_others_control_tokens(smol: Tokens) -> None:
    text = "<|im_end|>" * 20
    with ThreadPoolExecutor(4) as pool:
        kinds = [True, False] * 100
        lengths = list(pool.map(lambda kind: len(smol.ids(Segment(text, trusted=kind))), kinds))
    assert lengths == [20 if kind else len(foreign(smol, text)) for kind in kinds]


def test_unknown_words_of_foreign_text_keep_their_place() -> None:
    words = Tokenizer(models.WordLevel({"[UNK]": 0, "rake": 1, "pan": 2}, unk_token="[UNK]"))
    words.pre_tokenizer = pre_tokenizers.Whitespace()
    tokens = Tokens(PreTrainedTokenizerFast(tokenizer_object=words, unk_token="[UNK]"))
    assert foreign(tokens, "rake zebra pan") == [1, 0, 2]
    with pytest.raises(ModelError, match="does not tell"):
        tokens.answers("rake", "zebra")
