"""What a replay does between blocks: the policies that it compares."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any, Literal

from llmrec.config import Settings
from llmrec.errors import ConfigError
from llmrec.fitting import Fit, FittedRetriever, TrainedRanker
from llmrec.learning.ranker import begins_with, train_ranker
from llmrec.recommender import Recommender
from llmrec.releases import Release

__all__ = ["ADAPTED", "PLAIN", "POLICIES", "Policy", "home_of", "learn", "policies_of", "settings_of"]

Policy = Literal["still", "frozen", "anew", "evolving", "adapter-anew", "adapter-evolving", "adapter-pulled"]
PLAIN: tuple[Policy, ...] = ("still", "frozen", "anew", "evolving")
"""They train no language model."""
ADAPTED: Mapping[Policy, Mapping[str, str]] = {
    "adapter-anew": {"start": "base"},
    "adapter-evolving": {"start": "champion"},
    "adapter-pulled": {"start": "champion"},
}
"""After each block the retriever is fitted anew, and an adapter is trained on all events so far, from so far."""
POLICIES: tuple[Policy, ...] = (*PLAIN, *ADAPTED)

_PULL = 1.0
"""What a nat of divergence from the last adapter costs, where the settings have no pull."""


def policies_of(names: Sequence[str]) -> tuple[Policy, ...]:
    """Policies by their names, each once, in the order in which they are compared.

    Raises:
        ConfigError: There is no such policy.
    """
    unknown = sorted(set(names) - set(POLICIES))
    if unknown:
        raise ConfigError(f"there is no policy {unknown[0]!r}", hint=f"policies: {', '.join(POLICIES)}")
    return tuple(policy for policy in POLICIES if policy in names)


def settings_of(policy: Policy, settings: Settings, *, llm: bool) -> Settings:
    """The settings of a policy's own workspace, whose store is its own.

    Args:
        policy: Which.
        settings: Of the workspace whose log is played.
        llm: Whether the language model ranks.

    Raises:
        ConfigError: The policy pulls, and the language model is asked for titles.
    """
    if policy == "adapter-pulled" and settings.ranking.ask == "title":
        raise ConfigError('no pull holds texts ([ranking] ask = "title")', hint="replay adapter-evolving instead")
    learning: dict[str, Any] = dict(ADAPTED.get(policy, {}))
    if learning:
        learning["pull"] = (settings.learning.pull or _PULL) if policy == "adapter-pulled" else 0.0
    changed = {
        "ranking": settings.ranking.model_copy(update={"enabled": llm}),
        "store": settings.store.model_copy(update={"url": ""}),
        "learning": settings.learning.model_copy(update=learning),
    }
    return settings.model_copy(update=changed)


def home_of(policy: Policy, settings: Settings) -> str:
    """The name of a policy's directory: where adapters are trained otherwise, it is another one."""
    if policy not in ADAPTED:
        return policy
    trained = settings.learning.model_dump_json().encode()
    return f"{policy}-{hashlib.sha256(trained).hexdigest()[:8]}"


def learn(own: Recommender, policy: Policy, *, progress: bool) -> None:
    """Make the release that a policy goes on with live; no gate asks whether it is better.

    Raises:
        DataError: There is too little behaviour to train an adapter on.
        ModelError: The language model cannot be trained.
    """
    if policy in ADAPTED:
        _train(own, progress=progress)
    elif policy in {"anew", "evolving"}:
        own.fit(anew=policy == "anew", progress=progress)


def _train(own: Recommender, *, progress: bool) -> None:
    start = begins_with(own.settings, own.releases.champion())

    def train(fit: Fit, fitted: FittedRetriever, snapshot: int) -> TrainedRanker:
        return train_ranker(fit, fitted, snapshot, start)

    def settle(release: Release) -> None:
        own.releases.promote(release.version)

    own.make_release("replay", settle, train, anew=True, progress=progress)
