"""What words explanations in a workspace: the base model, or the adapter of the answers' live release."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Mapping, Sequence

from llmrec.errors import ModelError, ReleaseError
from llmrec.explaining.answering import Answerer
from llmrec.explaining.checking import Names
from llmrec.explaining.titles import Titles
from llmrec.records import Item
from llmrec.releases import Release, ReleaseStore

__all__ = ["AnswererKeeper"]

_REPAIR = "run `llmrec retrain --task answer` to make a release for the present settings, or undo the change"

_logger = logging.getLogger(__name__)


class AnswererKeeper:
    """Follows the live release of answers; safe to share between threads.

    Args:
        releases: Those of answers.
        base: Asks the base model.
        values: Finds values of attributes of a catalogue of some version in a text.
    """

    def __init__(
        self,
        releases: ReleaseStore,
        base: Answerer,
        values: Callable[[Mapping[str, Item], int, str], Sequence[tuple[str, str]]],
    ) -> None:
        self.base = base
        self.releases = releases
        self._values = values
        self._lock = threading.RLock()
        self._version: str | None = None
        self._live: tuple[Release | None, Answerer] = (None, base)
        self._names: tuple[int, Names] | None = None

    def current(self) -> Answerer:
        """Asks the live release, or the base where there is none or it cannot be used.

        Raises:
            ScoringError: The model is busy.
        """
        version = self.releases.live()
        with self._lock:
            if self._version != version:
                before, _ = self._live
                self._version, self._live = version, self._loaded(version)
                if before is not None:
                    self.let_go(before)
            return self._live[1]

    def let_go(self, release: Release) -> None:
        """Take a release's adapter out of the model, because nothing asks it any more."""
        self.base.model.remove_adapter(_name(release))

    def names(self, items: Mapping[str, Item], version: int) -> Names:
        """What a catalogue of that version calls things."""
        with self._lock:
            if self._names is None or self._names[0] != version:
                self._names = (version, Names(items, Titles(items), lambda text: self._values(items, version, text)))
            return self._names[1]

    def answering(self, release: Release) -> Answerer:
        """Asks the adapter of a release.

        Raises:
            ReleaseError: It was made with another base model or template, or is damaged.
            ModelError: Its adapter cannot be loaded.
        """
        try:
            release.require("base_model", self.base.model.sha256)
            release.require("prompt", self.base.fingerprint)
            adapter = release.folder("adapter")
        except ReleaseError as error:
            raise ReleaseError(str(error), hint=_REPAIR) from error
        return self.base if adapter is None else self.base.asking(self.base.model.adapted(_name(release), adapter))

    def _loaded(self, version: str | None) -> tuple[Release | None, Answerer]:
        """The release whose adapter is in the model now, if any, and what asks it."""
        if version is None:
            return None, self.base
        try:
            release = self.releases.get(version)
            found = self.answering(release)
            return (None if found is self.base else release), found
        except (ReleaseError, ModelError) as error:
            _logger.error("the base model words explanations, because %s cannot be used: %s", version, error)
            return None, self.base


def _name(release: Release) -> str:
    """Not its version: another workspace may have that too, and share the model."""
    return str(release.directory)
