"""From text to token ids, with a wall between the template's words and foreign text."""

from __future__ import annotations

import threading
from typing import Any

from llmrec.errors import ModelError
from llmrec.models.segments import Segment

__all__ = ["Tokens"]

# Foreign text is cut to this many characters a token before it is tokenised, so that a megabyte costs no more than a
# page. Longer tokens exist only for long runs of one character; text made of those is cut a little early.
_LONGEST_TOKEN = 64
_BLANKS = " \t\r\n\N{LOWER ONE EIGHTH BLOCK}"  # the last one is how some tokenizers write a blank


class Tokens:
    """A transformers tokenizer, as prompts use it. Safe to share between threads."""

    def __init__(self, tokenizer: Any) -> None:
        self._tokenizer = tokenizer
        self._lock = threading.Lock()  # the flag that splits control tokens is state of the tokenizer
        self._control = frozenset(
            index
            for index, token in tokenizer.added_tokens_decoder.items()
            if token.content.strip(_BLANKS) and index != tokenizer.unk_token_id
        )
        self.start = self._start()

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

    def single(self, label: str) -> int:
        """The id of an answer that is one token.

        Raises:
            ModelError: It is several, or none that the tokenizer knows.
        """
        ids = self.ids(Segment(label, trusted=True))
        if len(ids) != 1 or ids[0] == self._tokenizer.unk_token_id:
            pieces = self._tokenizer.convert_ids_to_tokens(ids)
            raise ModelError(
                f"the answer {label!r} is not one token of this model but {pieces}",
                hint="load the model with other labels, or use another model",
            )
        return ids[0]

    def _start(self) -> tuple[int, ...]:
        """What this tokenizer puts before every text (a start token, or nothing)."""
        bare = self._tokenizer("a", add_special_tokens=False)["input_ids"]
        full = self._tokenizer("a", add_special_tokens=True)["input_ids"]
        return tuple(full[: full.index(bare[0])]) if bare and bare[0] in full else ()
