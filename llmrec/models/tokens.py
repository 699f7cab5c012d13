"""From text to token ids, with a wall between the template's words and foreign text."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from functools import cached_property
from typing import Any

from llmrec.errors import ModelError
from llmrec.models.segments import Segment
from llmrec.models.tree import Ids

__all__ = ["Tokens"]

# Foreign text is cut to this many characters a token before it is tokenised, so that a megabyte costs no more than a
# page. Longer tokens exist only for long runs of one character; text made of those is cut a little early.
_LONGEST_TOKEN = 64
_PLAIN = "set models.chat_template to false, or use another model"
_SAID = "What the user says."
_BLANKS = " \t\r\n\N{LOWER ONE EIGHTH BLOCK}"  # the last one is how some tokenizers write a blank


class Tokens:
    """A transformers tokenizer, as prompts use it. Safe to share between threads.

    Args:
        tokenizer: The tokenizer.
        chat: Whether a prompt is what a user says in a chat; else plain text.

    Attributes:
        start: Ids before every prompt.
        end: Ids behind every prompt, where the answer begins.
        eos: What ends a text; nothing where the tokenizer has no such token.

    Raises:
        ModelError: There is no chat template that can be used.
    """

    def __init__(self, tokenizer: Any, *, chat: bool = False) -> None:
        self._tokenizer = tokenizer
        self._lock = threading.Lock()  # the flag that splits control tokens is state of the tokenizer
        self._control = frozenset(
            index
            for index, token in tokenizer.added_tokens_decoder.items()
            if token.content.strip(_BLANKS) and index != tokenizer.unk_token_id
        )
        self.eos: Ids = () if tokenizer.eos_token_id is None else (int(tokenizer.eos_token_id),)
        self.start, self.end = self._frame() if chat else (self._start(), ())

    @cached_property
    def ends(self) -> frozenset[int]:
        """What ends a line of text: the end of a text, and those of lines that are one token."""
        lines = [self.ids(Segment(end, trusted=True)) for end in ("\n", "\n\n")]
        return frozenset([*self.eos, *(ids[0] for ids in lines if len(ids) == 1)])

    def ids(self, segment: Segment) -> list[int]:
        """The token ids of a segment, nothing added."""
        with self._lock:
            encoded = self._tokenizer(
                segment.text, add_special_tokens=False, split_special_tokens=not segment.trusted, verbose=False
            )
        ids = [int(index) for index in encoded["input_ids"]]
        # Splitting covers the tokens that are marked as special; what else was added to the vocabulary is left out.
        return ids if segment.trusted else [index for index in ids if index not in self._control]

    def cap(self, text: str, tokens: int) -> tuple[list[int], bool]:
        """The first `tokens` ids of foreign text, and whether something was cut off."""
        head = text[: tokens * _LONGEST_TOKEN]
        ids = self.ids(Segment(head, trusted=False))
        return ids[:tokens], len(head) < len(text) or len(ids) > tokens

    def text(self, ids: Sequence[int]) -> str:
        """What ids say."""
        return str(self._tokenizer.decode(list(ids), clean_up_tokenization_spaces=False))

    def answers(self, first: str, second: str) -> tuple[Ids, tuple[int, int]]:
        """What two answers have in common at their beginning, and the tokens where they part.

        Most tokenizers write " Yes" as one token, so nothing is in common; some write a blank first. Where an answer is
        longer, its first own token speaks for it.

        Raises:
            ModelError: One answer begins with the whole other one, or the tokenizer does not know it.
        """
        one, other = (self.ids(Segment(label, trusted=True)) for label in (first, second))
        lead = next((place for place, (a, b) in enumerate(zip(one, other, strict=False)) if a != b), None)
        if lead is None or self._tokenizer.unk_token_id in (one[lead], other[lead]):
            pieces = [self._tokenizer.convert_ids_to_tokens(ids) for ids in (one, other)]
            raise ModelError(
                f"this model's tokenizer does not tell {first!r} from {second!r}: {pieces[0]}, {pieces[1]}",
                hint="load the model with other labels, or use another model",
            )
        return tuple(one[:lead]), (one[lead], other[lead])

    def _frame(self) -> tuple[Ids, Ids]:
        """What the chat template writes around what a user says."""
        if not self._tokenizer.chat_template:
            raise ModelError(
                "this model's tokenizer has no chat template",
                hint=_PLAIN,
            )
        message = [{"role": "user", "content": _SAID}]
        try:
            whole = self._tokenizer.apply_chat_template(message, tokenize=False, add_generation_prompt=True)
        except Exception as error:  # a template may raise whatever it likes
            raise ModelError(f"this model's chat template fails: {error}", hint=_PLAIN) from error
        before, said, after = whole.partition(_SAID)
        if not said:
            raise ModelError(
                "this model's chat template does not write what the user says as it is",
                hint=_PLAIN,
            )
        return tuple(self.ids(Segment(before, trusted=True))), tuple(self.ids(Segment(after, trusted=True)))

    def _start(self) -> Ids:
        """What this tokenizer puts before every text (a start token, or nothing)."""
        bare = self._tokenizer("a", add_special_tokens=False)["input_ids"]
        full = self._tokenizer("a", add_special_tokens=True)["input_ids"]
        return tuple(full[: full.index(bare[0])]) if bare and bare[0] in full else ()
