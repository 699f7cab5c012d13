"""From candidates to an order: prompts, the language model's opinion, fusion."""

from llmrec.ranking.calibration import HeldOutRequest, judge
from llmrec.ranking.exploration import explored
from llmrec.ranking.fused import FusedRanker, Ranking
from llmrec.ranking.fusion import Fusion, JudgedList, fit_fusion
from llmrec.ranking.prompts import PromptLibrary, default_directory
from llmrec.ranking.pushback import Pushback
from llmrec.ranking.ranker import Ranker, SharedPrompt

__all__ = [
    "FusedRanker",
    "Fusion",
    "HeldOutRequest",
    "JudgedList",
    "PromptLibrary",
    "Pushback",
    "Ranker",
    "Ranking",
    "SharedPrompt",
    "default_directory",
    "explored",
    "fit_fusion",
    "judge",
]
