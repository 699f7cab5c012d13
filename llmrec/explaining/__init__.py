"""Why an item got its score: evidence, and its wording."""

from llmrec.explaining.evidence import gather
from llmrec.explaining.explanation import explain
from llmrec.explaining.wording import word

__all__ = ["explain", "gather", "word"]
