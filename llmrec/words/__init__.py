"""From what people write to what it names and means: items, values, numbers, opinions."""

from llmrec.words.asking import ask_of_comments
from llmrec.words.keeper import OwnComments, WordsKeeper
from llmrec.words.numbers import Bound
from llmrec.words.opinions import Opinion, OpinionReader, SentimentModel, read_sentences
from llmrec.words.rated import rated_comments
from llmrec.words.readings import Readings, forget_readings
from llmrec.words.regression import SentenceRegression
from llmrec.words.vocabulary import Mentions, Named, Vocabulary

__all__ = [
    "Bound",
    "Mentions",
    "Named",
    "Opinion",
    "OpinionReader",
    "OwnComments",
    "Readings",
    "SentenceRegression",
    "SentimentModel",
    "Vocabulary",
    "WordsKeeper",
    "ask_of_comments",
    "forget_readings",
    "rated_comments",
    "read_sentences",
]
