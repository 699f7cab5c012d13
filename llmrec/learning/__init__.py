"""Learning: from what users did to a LoRA adapter of the language model, and the periodic run that makes a release.

The names below are loaded when first used, so that importing this package loads neither torch nor accelerate.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from llmrec.learning.answers import retrain_answers
    from llmrec.learning.export import Export, export_answers, export_lists
    from llmrec.learning.policies import PLAIN, POLICIES, policies_of
    from llmrec.learning.replay_report import replay_page, replay_table
    from llmrec.learning.replaying import Replay, ReplayOptions, replay
    from llmrec.learning.retraining import Retraining, retrain

__all__ = [
    "PLAIN",
    "POLICIES",
    "Export",
    "Replay",
    "ReplayOptions",
    "Retraining",
    "export_answers",
    "export_lists",
    "policies_of",
    "replay",
    "replay_page",
    "replay_table",
    "retrain",
    "retrain_answers",
]

_HOMES = {
    "Export": "export",
    "export_answers": "export",
    "export_lists": "export",
    "PLAIN": "policies",
    "POLICIES": "policies",
    "policies_of": "policies",
    "replay_page": "replay_report",
    "replay_table": "replay_report",
    "Retraining": "retraining",
    "retrain": "retraining",
    "retrain_answers": "answers",
}


def __getattr__(name: str) -> object:
    if name not in __all__:
        raise AttributeError(f"module 'llmrec.learning' has no attribute {name!r}")
    return getattr(import_module(f"llmrec.learning.{_HOMES.get(name, 'replaying')}"), name)
