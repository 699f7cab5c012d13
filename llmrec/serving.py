"""What answers: the live release, looked up at every request, or one that is named.

Another release that was promoted is loaded beside the live one and takes its place once it is whole; what scores items
follows the release and the catalogue.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

from llmrec.config import Settings
from llmrec.data import Store
from llmrec.errors import ModelError, NotFittedError, ReleaseError, ScoringError
from llmrec.parts import Parts
from llmrec.ranking import FusedRanker, Fusion, Pushback
from llmrec.records import AttributeValue
from llmrec.releases import Release, ReleaseStore
from llmrec.retrieval import (
    Catalogue,
    ColdStart,
    EncodedSpace,
    Evidence,
    FittedEncoder,
    Popularity,
    Retriever,
    Space,
    TextSpace,
    UserGroup,
    relative_popularity,
)
from llmrec.words import Opinion, OwnComments
from llmrec.workspace import Workspace

__all__ = ["Live", "Serving", "evidence_of"]

_Scorers = tuple[tuple[str, int], Space, ColdStart]
"""What they were made for (release and catalogue), and what scores items."""

_TRIED_AGAIN = 60.0
"""Seconds after which a release that could not be loaded is tried again."""
_NAMED = 2
"""So many releases that were named stay loaded, besides the live one."""
_logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Live:
    """What a request needs of the live release, loaded once.

    Args:
        release: The release.
        fusion: Its weights.
        taken: Events on each item when it was made, by everybody and by groups of users.
        popularity: Everybody's, from 0 to 1.
        encoder: Its sequence encoder; None where it goes by texts alone.
        evidence: What orders the encoder's candidates; releases of an earlier version have none.
        comments: The sequences of the comments that it learnt from how comments sound, and how each was meant.
    """

    release: Release
    fusion: Fusion
    taken: Popularity
    popularity: Mapping[str, float]
    encoder: FittedEncoder | None
    evidence: Evidence | None
    comments: tuple[tuple[int, float], ...] = ()

    @classmethod
    def load(cls, release: Release) -> Live:
        """Read a release's parts.

        Raises:
            ReleaseError: A part is missing or was changed.
        """
        taken = popularity_of(release)
        fusion = Fusion.from_dict(release.part("fusion.json"))
        popularity = relative_popularity(taken.counts)
        told = release.part("comments.json") if "comments.json" in release.manifest["files"] else ()
        comments = tuple((int(sequence), float(liking)) for sequence, liking in told)
        return cls(release, fusion, taken, popularity, encoder_of(release), evidence_of(release), comments)


class Serving:
    """Answers by the live release, or by a named one; safe to share between threads.

    Args:
        workspace: The directory.
        settings: All settings.
        store: Says which release is live.
        releases: All of them.
        parts: What they share.
        named: Answers, whatever is live; None: the live one does.
    """

    def __init__(
        self,
        workspace: Workspace,
        settings: Settings,
        store: Store,
        *,
        releases: ReleaseStore,
        parts: Parts,
        named: Live | None = None,
    ) -> None:
        self._workspace = workspace
        self._settings = settings
        self._store = store
        self._releases = releases
        self._parts = parts
        self._named = named
        self._loading = threading.RLock()
        self._live: Live | None = None
        self._refused: tuple[str, float] = ("", 0.0)
        self._scorers: _Scorers | None = None
        self._others: dict[str, Serving] = {}

    def at(self, version: str) -> Serving:
        """Answers by a named release from now on; the ones named last stay loaded.

        Raises:
            ReleaseError: There is none, it is damaged, or was made with another text encoder or prompt.
        """
        release = self._releases.get(version)
        with self._loading:
            other = self._others.pop(release.version, None)
            if other is None or other.live().release != release:
                other = self._answering_by(self._load(release))
            self._others[release.version] = other
            for old in list(self._others)[:-_NAMED]:
                del self._others[old]
            return other

    def _answering_by(self, named: Live) -> Serving:
        return Serving(
            self._workspace, self._settings, self._store, releases=self._releases, parts=self._parts, named=named
        )

    def live(self) -> Live:
        """What answers. Another release that was promoted is loaded beside it, and takes its place once it is whole.

        Where it cannot be loaded, the one before goes on answering, and the log says so.

        Raises:
            NotFittedError: There is none yet.
            ReleaseError: It is damaged, or made with another text encoder or prompt, and none was loaded before.
        """
        if self._named is not None:
            return self._named
        version = self._store.aliases.now("rank")
        if version is None:
            root = self._workspace.root
            raise NotFittedError(f"{root} has no release yet", hint="run `llmrec fit` (rec.fit()) first")
        live = self._live
        if live is None:
            live = self._live = self.load(version)
        elif version != live.release.version and not self._was_refused(version):
            live = self._swapped(live, version)
        return live

    def _was_refused(self, version: str) -> bool:
        """Whether it could not be loaded a moment ago; somebody may have repaired it since."""
        refused, then = self._refused
        return version == refused and time.monotonic() - then < _TRIED_AGAIN

    def _swapped(self, live: Live, version: str) -> Live:
        with self._loading:
            # Another thread may have been first, or another release is meant by now.
            if self._live is not None and self._live.release.version != live.release.version:
                return self._live
            try:
                release = self._releases.get(version)
                self.check(release)
                live = self._live = self._load(release)
            except ScoringError as error:  # the model is busy: the next request tries again
                _logger.warning("%s stays live for now: %s", live.release.version, error)
            except (ReleaseError, ModelError) as error:
                self._refused = version, time.monotonic()
                _logger.error("%s stays live, because %s cannot be used: %s", live.release.version, version, error)
        return live

    def load(self, version: str) -> Live:
        """Any release, whether it is live or not.

        Raises:
            ReleaseError: It is damaged, or was made with another text encoder or prompt.
        """
        return self._load(self._releases.get(version))

    def check(self, release: Release) -> None:
        """Load a release that is to go live.

        Raises:
            ReleaseError: It is damaged, or was made with another text encoder, prompt or base model, or of other items.
            ModelError: Its adapter cannot be loaded.
        """
        live = self._load(release)
        if live.encoder is not None:
            live.encoder.require_items({item.item_id for item in self._store.items()})
        if self._settings.ranking.enabled:
            self._parts.adapted(live.release)

    def _load(self, release: Release) -> Live:
        release.require("text_encoder", self._parts.text_encoder().fingerprint)
        release.require("prompt", self._parts.prompt())
        return Live.load(release)

    def retriever(self, live: Live, catalogue: Catalogue, context: Mapping[str, AttributeValue]) -> Retriever:
        """Finds candidates with the live release's encoder."""
        version = (live.release.version, catalogue.version)
        known = self._scorers
        if known is None or known[0] != version:
            known = self._made_scorers(version, live, catalogue)
        return Retriever(catalogue, *known[1:], context, live.evidence, told=self._settings.ranking.evidence)

    def _made_scorers(self, version: tuple[str, int], live: Live, catalogue: Catalogue) -> _Scorers:
        with self._loading:  # of many requests that find them missing, one makes them
            known = self._scorers
            if known is None or known[0] != version:
                space = self._make_space(live, catalogue)
                known = self._scorers = (version, space, self._cold_start(live, catalogue, space))
            return known

    def _make_space(self, live: Live, catalogue: Catalogue) -> Space:
        if live.encoder is None:
            return TextSpace(catalogue, self._settings.retrieval.half_life)
        # One graph is kept on disk, the live release's; a named one would be written over it.
        kept = None if self._named else self._workspace.index / "encoder"
        return EncodedSpace(live.encoder, catalogue, self._settings.retrieval.newcomers, kept)

    def _cold_start(self, live: Live, catalogue: Catalogue, space: Space) -> ColdStart:
        half_life = self._settings.retrieval.half_life

        def is_against(text: str) -> bool:
            return self.reader(live, catalogue)(text).sentiment < 0

        return ColdStart(catalogue, space, live.taken, self._parts.text_encoder(), half_life, is_against=is_against)

    def fused(self, live: Live, catalogue: Catalogue, llm: bool | None) -> FusedRanker:
        """Orders candidates with the live release's weights.

        Args:
            live: The live release.
            catalogue: The items.
            llm: Whether the language model ranks; None: as configured.

        Raises:
            ReleaseError: The release was made with another base model, or its adapter was changed.
            ModelError: The adapter cannot be loaded.
        """
        wanted = self._settings.feedback
        pushback = Pushback(
            catalogue.index,
            wanted.pushback,
            wanted.half_life,
            read=self.reader(live, catalogue),
            items=catalogue.items,
        )
        if not (self._settings.ranking.enabled if llm is None else llm):
            return FusedRanker(live.fusion, None, pushback)
        try:
            return FusedRanker(live.fusion, self._parts.adapted(live.release), pushback)
        except ScoringError as error:  # the model is busy, or out of memory: the next request tries again
            _logger.warning("the language model is not at hand, so the retriever's order is the answer: %s", error)
            return FusedRanker(live.fusion, None, pushback, failed=str(error))

    def opinion(self, catalogue: Catalogue, text: str) -> Opinion:
        """What a comment says, as the live release reads it; before there is one, as the labelled sentences have it."""
        try:
            live = self.live()
        except NotFittedError:
            return self._parts.words().opinion(catalogue.items, catalogue.version, text)
        return self.reader(live, catalogue)(text)

    def reader(self, live: Live, catalogue: Catalogue) -> Callable[[str], Opinion]:
        """Reads comments as a release has learnt to."""
        own = None
        if live.comments:
            # Where comments were deleted, it is learnt again from those that are left.
            version = f"{live.release.version} {self._store.last_forgotten()}"
            own = OwnComments(version, partial(self._rated, live.comments))
        return partial(self._parts.words().opinion, catalogue.items, catalogue.version, own=own)

    def _rated(self, comments: Sequence[tuple[int, float]]) -> list[tuple[str, float]]:
        texts = self._store.texts(sequence for sequence, _ in comments)
        return [(texts[sequence], liking) for sequence, liking in comments if sequence in texts]

    def previous_encoder(self) -> FittedEncoder | None:
        """The live release's encoder, to begin a training with; None if it is of other text vectors or damaged."""
        try:
            champion = self._releases.champion()
            if champion is None or champion.manifest.get("text_encoder") != self._parts.text_encoder().fingerprint:
                return None
            if champion.made_before(self._store.last_forgotten()):
                return None  # it may have learnt from somebody who was deleted since
            return encoder_of(champion)
        except ReleaseError as error:
            _logger.warning("the live release cannot be built on, so the training begins anew: %s", error)
            return None


def encoder_of(release: Release) -> FittedEncoder | None:
    """The sequence encoder of a release; None where it goes by texts alone."""
    if "encoder.json" not in release.manifest["files"]:
        return None
    return FittedEncoder.from_parts(release.read("encoder.safetensors"), release.part("encoder.json"))


def evidence_of(release: Release) -> Evidence | None:
    """What orders the encoder's candidates; None where there is no encoder, or the release knows of none."""
    if "evidence.json" not in release.manifest["files"]:
        return None
    return Evidence.from_parts(release.read("evidence.safetensors"), release.part("evidence.json"))


def popularity_of(release: Release) -> Popularity:
    """What was taken how often; older releases know of no groups."""
    groups = release.part("groups.json") if "groups.json" in release.manifest["files"] else ()
    return Popularity(release.part("popularity.json"), tuple(UserGroup(**group) for group in groups))
