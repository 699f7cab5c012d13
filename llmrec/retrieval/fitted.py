"""A trained sequence encoder with what its numbers mean, as a release keeps it."""

from __future__ import annotations

import math
from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.torch import load as load_tensors
from safetensors.torch import save as save_tensors
from torch import Tensor

from llmrec.errors import ReleaseError
from llmrec.retrieval.encoder import EncoderConfig, EventBatch, SequenceEncoder
from llmrec.retrieval.sequences import EventArrays, EventVocabulary

__all__ = ["FittedEncoder"]

_USERS = 256
_USER_STATES = "users"
_PLACES = 10
_HALVINGS = 20
_STEP = 0.02
_CELLS = 8_000_000


@dataclass(frozen=True)
class FittedEncoder:
    """A trained sequence encoder, as a release keeps it.

    Args:
        model: The network, ready for inference.
        vocabulary: What the numbers of its events mean.
        item_ids: The items that have an id vector, in the order of its rows.
        users: States of some users, float32 [users, dimension]: whom items will be scored for.
    """

    model: SequenceEncoder
    vocabulary: EventVocabulary
    item_ids: tuple[str, ...]
    users: NDArray[np.float32] = field(default_factory=lambda: np.zeros((0, 0), np.float32))

    @classmethod
    def of(
        cls,
        model: SequenceEncoder,
        vocabulary: EventVocabulary,
        item_ids: Sequence[str],
        texts: NDArray[np.float32],
        users: Sequence[EventArrays],
    ) -> FittedEncoder:
        """Put together what a training gave.

        Args:
            model: The network, trained.
            vocabulary: What the numbers of its events mean.
            item_ids: The items that have an id vector, in the order of its rows.
            texts: Their text vectors, float32 [len(item_ids), text_dimension].
            users: Whom it was trained on; the states of `_USERS` of them are kept.
        """
        fitted = cls(model.cpu(), vocabulary, tuple(item_ids))
        some = users[:: max(1, -(-len(users) // _USERS))]
        return replace(fitted, users=fitted.states(some, fitted.item_vectors(texts)))

    def require_items(self, known: Container[str]) -> None:
        """Refuse to answer for another catalogue.

        Raises:
            ReleaseError: Items that were trained on are not known.
        """
        missing = next((item_id for item_id in self.item_ids if item_id not in known), None)
        if missing is not None:
            raise ReleaseError(
                f"the release was trained on other items: {missing!r} is none of this catalogue's",
                hint="import the items that it was trained on, or make a release of these: `llmrec fit`",
            )

    @torch.inference_mode()
    def item_vectors(self, texts: NDArray[np.float32]) -> Tensor:
        """Vectors of items, [n, dimension], from their text vectors: first those of `item_ids`, then newer ones."""
        return self.model.item_vectors(torch.from_numpy(texts))

    @torch.inference_mode()
    def states(self, users: Sequence[EventArrays], items: Tensor) -> NDArray[np.float32]:
        """The state after each user's newest event, float32 [users, dimension]; zeros for a user without events."""
        states = np.zeros((len(users), items.shape[1]), np.float32)
        known = [place for place, user in enumerate(users) if len(user)]
        if known:
            events = EventBatch.of([users[place][-self.model.config.max_events :] for place in known], items.device)
            newest = events.mask.sum(dim=1) - 1
            states[known] = self.model(events, items)[torch.arange(len(known)), newest].cpu().numpy()
        return states

    def read(self, user: EventArrays, items: Tensor) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """The state after a user's newest event, [dimension], and its attention to each event, [len(user)].

        Of more events than the encoder reads, give the newest.
        """
        return self.model.read(user, items)

    def lifts(self, items: Tensor, newcomers: float) -> NDArray[np.float32]:
        """What is added to each item's score, float32 [n], so that items without an id vector get onto lists.

        What everybody took has its popularity in its vector, and an item nobody took has none, so it would come behind
        everything known. All of these get the same addition: the one that gives them, of the users' first ten places,
        the share that they are of the catalogue, or a smaller one. It is never negative.

        Args:
            items: From `item_vectors`.
            newcomers: The largest share of the places; 0: nothing is added.
        """
        known, lifts = len(self.item_ids), np.zeros(len(items), np.float32)
        share = min(newcomers, 1 - known / max(len(items), 1))
        if share > 0 and len(self.users):
            parts = (items[:known].T, items[known:].T)
            best = [_top(torch.from_numpy(self.users), part) for part in parts]
            lift = _fair_lift(best[0], best[1], share * _PLACES * len(self.users))
            # In steps, so that an item more does not move all others, and with them an index that holds them.
            lifts[known:] = math.ceil(lift / _STEP) * _STEP
        return lifts

    def to_parts(self) -> dict[str, object]:
        """Files of a release: the weights and what they mean."""
        about = {
            "config": {name: getattr(self.model.config, name) for name in EncoderConfig.__slots__},
            "vocabulary": {name: getattr(self.vocabulary, name) for name in EventVocabulary.__slots__},
            "item_ids": self.item_ids,
            "text_dimension": self.model.project.in_features,
        }
        weights = {name: weight.detach().cpu().contiguous() for name, weight in self.model.state_dict().items()}
        weights[_USER_STATES] = torch.from_numpy(self.users)
        return {"encoder.safetensors": save_tensors(weights), "encoder.json": about}

    @classmethod
    def from_parts(cls, weights: bytes, about: Mapping[str, Any]) -> FittedEncoder:
        """The inverse of `to_parts`.

        Raises:
            ReleaseError: Another version of llmrec made them, with another network.
        """
        try:
            vocabulary = EventVocabulary(**{**about["vocabulary"], "kinds": tuple(about["vocabulary"]["kinds"])})
            model = SequenceEncoder(
                EncoderConfig(**about["config"]),
                items=len(about["item_ids"]),
                text_dimension=about["text_dimension"],
                kinds=len(vocabulary.kinds),
            )
            tensors = load_tensors(weights)
            users = tensors.pop(_USER_STATES, torch.zeros(0, 0))
            model.load_state_dict(tensors)
        except (KeyError, TypeError, RuntimeError, SafetensorError) as error:
            raise ReleaseError(
                "the release's encoder is of another version of llmrec", hint="make a new release: `llmrec fit`"
            ) from error
        return cls(model.eval(), vocabulary, tuple(about["item_ids"]), users.numpy())


def _top(users: Tensor, items: Tensor) -> NDArray[np.float32]:
    """The highest scores of each user, float32 [users, _PLACES at most], in bounded memory."""
    at_once = max(1, _CELLS // max(items.shape[1], 1))
    parts = [(part @ items).topk(min(_PLACES, items.shape[1])).values for part in torch.split(users, at_once)]
    return torch.cat(parts).numpy()


def _fair_lift(known: NDArray[np.float32], new: NDArray[np.float32], places: float) -> float:
    """The least addition to the new items' scores that gets so many of them among the `_PLACES` best of all."""

    def among_best(lift: float) -> int:
        scores = np.concatenate([known, new + lift], axis=1)
        best = np.argpartition(-scores, min(_PLACES, scores.shape[1]) - 1, axis=1)[:, :_PLACES]
        return int((best >= known.shape[1]).sum())

    # Every place where one of them takes it: a step of `among_best` is where a new item's score meets a known one's.
    low, high = 0.0, float(max(known.max(initial=0) - new.min(initial=0), 0.0)) + 1.0
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        low, high = (low, middle) if among_best(middle) >= places else (middle, high)
    return 0.0 if among_best(0.0) >= places else high
