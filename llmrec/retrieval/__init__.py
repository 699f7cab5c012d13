"""From a history to candidates: item vectors, the sequence encoder, the FAISS index, the retriever."""

from llmrec.retrieval.catalogue import Catalogue, CatalogueKeeper, Where
from llmrec.retrieval.cold import ColdStart
from llmrec.retrieval.diversity import diversified
from llmrec.retrieval.encoder import EncoderConfig, SequenceEncoder
from llmrec.retrieval.evidence import Evidence
from llmrec.retrieval.fitted import FittedEncoder
from llmrec.retrieval.fitting import EncoderFit, fit_encoder
from llmrec.retrieval.groups import Popularity, UserGroup, count_groups
from llmrec.retrieval.retriever import Retrieval, Retriever
from llmrec.retrieval.sequences import EventArrays, EventVocabulary
from llmrec.retrieval.spaces import EncodedSpace, Space, TextSpace, relative_popularity
from llmrec.retrieval.training import EncoderTraining, TrainingOptions

__all__ = [
    "Catalogue",
    "CatalogueKeeper",
    "ColdStart",
    "EncodedSpace",
    "EncoderConfig",
    "EncoderFit",
    "EncoderTraining",
    "EventArrays",
    "EventVocabulary",
    "Evidence",
    "FittedEncoder",
    "Popularity",
    "Retrieval",
    "Retriever",
    "SequenceEncoder",
    "Space",
    "TextSpace",
    "TrainingOptions",
    "UserGroup",
    "Where",
    "count_groups",
    "diversified",
    "fit_encoder",
    "relative_popularity",
]
