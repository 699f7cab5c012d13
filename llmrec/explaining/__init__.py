"""Why an item got its score: evidence, and its wording."""

from llmrec.explaining.answering import Answerer, Worded, checked, worded
from llmrec.explaining.checking import Names, unsupported
from llmrec.explaining.evidence import gather
from llmrec.explaining.explanation import explain
from llmrec.explaining.facts import Facts, facts_of
from llmrec.explaining.keeping import AnswererKeeper
from llmrec.explaining.wording import word

__all__ = [
    "Answerer",
    "AnswererKeeper",
    "Facts",
    "Names",
    "Worded",
    "checked",
    "explain",
    "facts_of",
    "gather",
    "unsupported",
    "word",
    "worded",
]
