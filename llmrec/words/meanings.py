"""Which value of the catalogue a word means without being it: “scary” for Horror, by the nearness of their vectors."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from llmrec.models import Encoder

__all__ = ["Meanings"]

_SAID = "something {}"
"""How words and values are compared: so an adjective (“funny”) comes nearer to its noun (“comedy”)."""
_NEAR = 0.7
"""Cosine between the vectors of a word and of a value that it stands for."""
_AHEAD, _AHEAD_ORDINARY = 0.1, 0.15
"""By so much it is nearer than to any other value; of a word of which commands are made more is asked."""
_REMEMBERED = 10_000

Value = tuple[str, str]
"""An attribute, and one of its values."""


@dataclass(frozen=True)
class Meanings:
    """Compares words with the values of a catalogue; what was compared before is remembered.

    Args:
        values: Value as it is compared -> attribute and value as the catalogue writes it.
        encoder: Gives the vectors.
        ordinary: Words of which commands are made.
    """

    values: Mapping[str, Value]
    encoder: Encoder
    ordinary: Collection[str]
    _known: dict[str, Value | None] = field(default_factory=dict, repr=False)

    def of(self, texts: Sequence[str]) -> dict[str, Value | None]:
        """The value that each text means, None where it means none."""
        found = {text: self._known[text] for text in texts if text in self._known}
        new = [text for text in dict.fromkeys(texts) if text not in found]
        if new:
            found |= self._compared(new)
        return found

    @cached_property
    def _vectors(self) -> NDArray[np.float32]:
        return self.encoder.encode([_SAID.format(value) for value in self.values])

    def _compared(self, texts: Sequence[str]) -> dict[str, Value | None]:
        near = self.encoder.encode([_SAID.format(text) for text in texts]) @ self._vectors.T
        named = list(self.values.values())
        found = {
            text: named[int(np.argmax(cosines))] if _stands_out(cosines, is_ordinary=text in self.ordinary) else None
            for text, cosines in zip(texts, near, strict=True)
        }
        if len(self._known) < _REMEMBERED:
            self._known.update(found)
        return found


def _stands_out(cosines: NDArray[np.float32], *, is_ordinary: bool) -> bool:
    """Whether the nearest value is near, and nearer than the second."""
    first = float(cosines.max())
    second = float(np.partition(cosines, -2)[-2]) if len(cosines) > 1 else -1.0
    return first >= _NEAR and first - second >= (_AHEAD_ORDINARY if is_ordinary else _AHEAD)
