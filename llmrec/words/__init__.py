"""From what people write to what it names and means: items, values, numbers, opinions."""

from llmrec.words.keeper import WordsKeeper
from llmrec.words.numbers import Bound
from llmrec.words.opinions import Opinion, OpinionReader, SentimentModel, read_sentences
from llmrec.words.regression import SentenceRegression
from llmrec.words.vocabulary import Mentions, Named, Vocabulary

__all__ = [
    "Bound",
    "Mentions",
    "Named",
    "Opinion",
    "OpinionReader",
    "SentenceRegression",
    "SentimentModel",
    "Vocabulary",
    "WordsKeeper",
    "read_sentences",
]
