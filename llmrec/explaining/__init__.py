"""Why an item got its score: evidence, and its wording."""

from llmrec.explaining.counterfactuals import score_drops
from llmrec.explaining.evidence import gather
from llmrec.explaining.wording import word

__all__ = ["gather", "score_drops", "word"]
