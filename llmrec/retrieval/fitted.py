"""A trained sequence encoder with what its numbers mean, as a release keeps it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import load as load_tensors
from safetensors.torch import save as save_tensors
from torch import Tensor

from llmrec.errors import ReleaseError
from llmrec.retrieval.encoder import EncoderConfig, EventBatch, SequenceEncoder
from llmrec.retrieval.sequences import EventArrays, EventVocabulary

__all__ = ["FittedEncoder"]


@dataclass(frozen=True)
class FittedEncoder:
    """A trained sequence encoder, as a release keeps it.

    Args:
        model: The network, ready for inference.
        vocabulary: What the numbers of its events mean.
        item_ids: The items that have an id vector, in the order of its rows.
    """

    model: SequenceEncoder
    vocabulary: EventVocabulary
    item_ids: tuple[str, ...]

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

    def to_parts(self) -> dict[str, object]:
        """Files of a release: the weights and what they mean."""
        about = {
            "config": {name: getattr(self.model.config, name) for name in EncoderConfig.__slots__},
            "vocabulary": {name: getattr(self.vocabulary, name) for name in EventVocabulary.__slots__},
            "item_ids": self.item_ids,
            "text_dimension": self.model.project.in_features,
        }
        weights = {name: weight.detach().cpu().contiguous() for name, weight in self.model.state_dict().items()}
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
            model.load_state_dict(load_tensors(weights))
        except (KeyError, TypeError, RuntimeError) as error:
            raise ReleaseError(
                "the release's encoder is of another version of llmrec", hint="make a new release: `llmrec fit`"
            ) from error
        return cls(model.eval(), vocabulary, tuple(about["item_ids"]))
