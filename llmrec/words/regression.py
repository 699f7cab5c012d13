"""Learning from a few sentences: a ridge regression on what they mean and on how they are written.

Two kernels are added: of the cosine of the text encoder's vectors, and of that of counts of words, pairs of words and
short strings of letters, which forgives slips of the pen. Solved in closed form.

    f(x) = mean(Y) + K(x, examples) (K + ridge I)^-1 (Y - mean(Y)),    K = a k(cos_meaning) + (1 - a) k(cos_letters)

    k(c) = c, or exp(s (c - 1)) with a sharpness s: then near examples count for more than many far ones do

Source: kernel ridge regression, Saunders, Gammerman and Vovk 1998.
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

from llmrec.models import Encoder
from llmrec.words.learnt import learnt_before

__all__ = ["SentenceRegression"]

Floats = NDArray[np.float64]

_LETTERS = (2, 3, 4)
_LONGEST = 5_000
"""Characters: of longer texts the beginning is read."""


@dataclass(frozen=True, eq=False)
class SentenceRegression:
    """Foretells numbers from sentences.

    Args:
        encoder: Gives the vectors of meaning.
        meaning: Their weight `a` against the letters, 0 to 1.
        sharpness: `s`; 0 for the cosines themselves.
        vectors: Those of the examples, [examples, dimension].
        letters: Their counts, rows of length one, [examples, strings].
        rarity: String -> its column and what it counts.
        weights: From kernel to targets, [examples, targets].
        mean: Of the targets, [targets].
    """

    encoder: Encoder
    meaning: float
    sharpness: float
    vectors: Floats
    letters: csr_matrix
    rarity: Mapping[str, tuple[int, float]]
    weights: Floats
    mean: Floats

    @classmethod
    def learn(
        cls,
        sentences: Sequence[str],
        targets: Floats,
        encoder: Encoder,
        *,
        meaning: float = 0.5,
        ridge: float = 0.1,
        sharpness: float = 0.0,
        kept: Path | None = None,
    ) -> SentenceRegression:
        """Learn from sentences and what is to be foretold of each, float64 [sentences, targets]; of many it is kept."""
        plain = [_plain(sentence) for sentence in sentences]
        strings = [_strings(text) for text in plain]
        held = Counter(one for of_one in strings for one in of_one)
        rarity = {one: (place, 1 + np.log(len(plain) / held[one])) for place, one in enumerate(sorted(held))}
        letters, mean = _counts(strings, rarity), targets.mean(axis=0)

        def solve() -> tuple[Floats, Floats]:
            vectors = encoder.encode(plain).astype(np.float64)
            kernel = _kernel(vectors @ vectors.T, (letters @ letters.T).toarray(), meaning, sharpness)
            kernel[np.diag_indices(len(kernel))] += ridge
            return vectors, np.linalg.solve(kernel, targets - mean)

        told = (*plain, encoder.fingerprint, meaning, ridge, sharpness, targets.tobytes().hex())
        vectors, weights = learnt_before(told, solve, kept)
        return cls(encoder, meaning, sharpness, vectors, letters, rarity, weights, mean)

    def scores(self, sentences: Sequence[str]) -> Floats:
        """What is foretold of each sentence, float64 [sentences, targets]."""
        plain = [_plain(sentence) for sentence in sentences]
        meant = self.encoder.encode(plain).astype(np.float64) @ self.vectors.T
        written = (_counts([_strings(text) for text in plain], self.rarity) @ self.letters.T).toarray()
        found: Floats = self.mean + _kernel(meant, written, self.meaning, self.sharpness) @ self.weights
        return found


def _kernel(meant: Floats, written: Floats, meaning: float, sharpness: float) -> Floats:
    if sharpness:
        meant, written = np.exp(sharpness * (meant - 1)), np.exp(sharpness * (written - 1))
    return meaning * meant + (1 - meaning) * written


def _plain(sentence: str) -> str:
    """Words and signs with a blank between, as a masked utterance has them; without accents, which many leave out."""
    letters = unicodedata.normalize("NFKD", sentence[:_LONGEST].casefold().replace("\u2019", "'"))
    bare = "".join(one for one in letters if not unicodedata.combining(one))
    return " ".join(re.findall(r"\w+(?:'\w+)*|[?!]", bare))


def _strings(text: str) -> Counter[str]:
    """Words, pairs of words, and strings of two to four letters, the edges of words marked."""
    words = text.split()
    counted = Counter(f"={word}" for word in words)
    counted.update(" ".join(pair) for pair in pairwise(words))
    for word, times in Counter(words).items():
        marked = f"_{word}_"
        for n in _LETTERS:
            for start in range(len(marked) - n + 1):
                counted[marked[start : start + n]] += times
    return counted


def _counts(texts: Sequence[Counter[str]], rarity: Mapping[str, tuple[int, float]]) -> csr_matrix:
    rows, columns, values = [], [], []
    for row, counted in enumerate(texts):
        known = [(one, count) for one, count in counted.items() if one in rarity]
        rows += [row] * len(known)
        columns += [rarity[one][0] for one, _ in known]
        values += [(1 + np.log(count)) * rarity[one][1] for one, count in known]
    matrix = csr_matrix((values, (rows, columns)), shape=(len(texts), len(rarity)))
    norms = np.sqrt(np.asarray(matrix.multiply(matrix).sum(axis=1)).ravel())
    return csr_matrix(matrix.multiply(1 / np.maximum(norms, 1e-9)[:, None]))
