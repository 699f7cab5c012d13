"""How the retriever's and the language model's scores become one, and a probability.

    score = a * retrieval + b * llm            (log-odds; nothing is normalised per list)
    probability = rate * sigmoid(intercept + slope * score)

a and b maximise the log-likelihood, under a softmax over each held-out list, of the item that was really taken
(listwise softmax cross-entropy, Cao et al. 2007), with a log-normal prior around the starting weights: a few dozen
lists say little, and both opinions keep a positive weight. Intercept and slope are Platt's (1999), fitted on the same
lists: the chance that it is this item, given that it is one of the candidates. The rate is how often it is.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize
from scipy.special import expit, log_softmax, logit

__all__ = ["Calibration", "Fusion", "JudgedList", "fit_fusion"]

Floats = NDArray[np.float64]

PRIOR_RETRIEVAL = 20.0
PRIOR_LLM = 0.25
"""An adapter's training counts the log-odds so too: what a base says at first means little, and costs less so."""
_PRIOR_SPREAD = 1.0
"""Standard deviation of the logarithm of a weight: a factor of e either way is an ordinary surprise."""


@dataclass(frozen=True, slots=True)
class Calibration:
    """From a score to a chance: Platt scaling, times how often the list holds what is taken at all."""

    rate: float = 0.5
    intercept: float = -4.0
    slope: float = 0.1

    def probability(self, score: float) -> float:
        """The chance that the user takes this item next, in [0, 1]."""
        return float(self.probabilities(np.array(score)))

    def probabilities(self, scores: Floats) -> Floats:
        """The chances of many items, in the shape of their scores."""
        return np.asarray(self.rate * expit(self.intercept + self.slope * scores))


@dataclass(frozen=True, slots=True)
class JudgedList:
    """One held-out request: both scores of its candidates, [n] each, and the place of the one that was taken."""

    retrieval: Floats
    llm: Floats | None
    taken: int


@dataclass(frozen=True, slots=True)
class Fusion:
    """The weights of a release; `lists` says on how many held-out requests they rest."""

    retrieval_weight: float = PRIOR_RETRIEVAL
    llm_weight: float = PRIOR_LLM
    fused: Calibration = Calibration()
    retrieval_only: Calibration = Calibration()
    lists: int = 0

    def parts(self, retrieval: float, llm: float | None) -> dict[str, float]:
        """What each opinion contributes to the score."""
        parts = {"retrieval": self.retrieval_weight * retrieval}
        return parts if llm is None else {**parts, "llm": self.llm_weight * llm}

    def probability(self, parts: Mapping[str, float]) -> float:
        """The calibrated chance that an item with these parts is what the user takes next."""
        calibration = self.fused if "llm" in parts else self.retrieval_only
        return calibration.probability(sum(parts.values()))

    def to_dict(self) -> dict[str, object]:
        """The JSON form that a release keeps."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, object]) -> Fusion:
        """The inverse of `to_dict`."""
        given = dict(values)
        for name in ("fused", "retrieval_only"):
            given[name] = Calibration(**given[name])  # type: ignore[arg-type]
        return cls(**given)  # type: ignore[arg-type]


def fit_fusion(
    lists: Sequence[JudgedList], hits: Sequence[JudgedList], *, requests: int, prior_retrieval: float = PRIOR_RETRIEVAL
) -> Fusion:
    """Weights and calibration from held-out requests; where nothing speaks, the priors.

    Args:
        lists: Requests whose item was among the candidates; all with the model's scores or none.
        hits: All such requests; the model need not have been asked.
        requests: How many requests there were, the others included.
        prior_retrieval: The retrieval weight to begin with.
    """
    rate = (len(hits) + 1) / (requests + 2)
    prior = (prior_retrieval, PRIOR_LLM)
    weights = _fit_weights(lists, np.log(prior)) if lists else prior
    return Fusion(
        *weights,
        fused=_fit_calibration([np.array(weights) @ _opinions(judged) for judged in lists], lists, rate),
        retrieval_only=_fit_calibration([weights[0] * judged.retrieval for judged in hits], hits, rate),
        lists=len(lists),
    )


def _fit_weights(lists: Sequence[JudgedList], prior: Floats) -> tuple[float, float]:
    """The weights whose logarithms are most likely, given the lists and the logarithms of the prior ones."""
    opinions = [_opinions(judged) for judged in lists]

    def loss(logs: Floats) -> tuple[float, Floats]:
        weights, away = np.exp(logs), (logs - prior) / _PRIOR_SPREAD
        surprise, slope = float(away @ away) / 2, away / _PRIOR_SPREAD
        for judged, both in zip(lists, opinions, strict=True):
            log_chances = log_softmax(weights @ both)
            surprise -= float(log_chances[judged.taken])
            slope += weights * (both @ np.exp(log_chances) - both[:, judged.taken])
        return surprise, slope

    retrieval_weight, llm_weight = np.exp(minimize(loss, prior, jac=True, method="BFGS").x)
    return float(retrieval_weight), float(llm_weight)


def _opinions(judged: JudgedList) -> Floats:
    """Both scores, [2, n]; a list without the language model's says nothing of its weight."""
    return np.stack([judged.retrieval, np.zeros_like(judged.retrieval) if judged.llm is None else judged.llm])


def _fit_calibration(scores: Sequence[Floats], lists: Sequence[JudgedList], rate: float) -> Calibration:
    if not lists:
        return Calibration(rate)
    score = np.concatenate(list(scores))
    taken = np.concatenate([np.arange(len(judged.retrieval)) == judged.taken for judged in lists])
    # Platt's targets, which keep the fit finite on few lists.
    hits = int(taken.sum())
    target = np.where(taken, (hits + 1) / (hits + 2), 1 / (len(taken) - hits + 2))
    centre, spread = float(score.mean()), float(score.std()) or 1.0

    def loss(parameters: Floats) -> float:
        logits = parameters[0] + parameters[1] * (score - centre) / spread
        return float(np.sum(np.logaddexp(0, logits) - target * logits) + parameters[1] ** 2 / 2)

    intercept, steepness = minimize(loss, np.array([logit(target.mean()), 0.0]), method="BFGS").x
    # A falling curve would say that a better score means a worse item: on so few lists that is noise.
    slope = max(float(steepness), 1e-3) / spread
    return Calibration(rate, float(intercept) - slope * centre, slope)
