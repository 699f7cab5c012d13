"""From a history to candidates: item vectors, the sequence encoder, the FAISS index, the retriever."""

from llmrec.retrieval.catalogue import Catalogue, CatalogueKeeper, Where
from llmrec.retrieval.encoder import EncoderConfig, SequenceEncoder
from llmrec.retrieval.fitted import FittedEncoder
from llmrec.retrieval.fitting import fit_encoder
from llmrec.retrieval.retriever import Retrieval, Retriever
from llmrec.retrieval.sequences import EventArrays, EventVocabulary
from llmrec.retrieval.spaces import EncodedSpace, Space, TextSpace, relative_popularity
from llmrec.retrieval.training import HELD_OUT_FROM, EncoderTraining, TrainingOptions

__all__ = [
    "HELD_OUT_FROM",
    "Catalogue",
    "CatalogueKeeper",
    "EncodedSpace",
    "EncoderConfig",
    "EncoderTraining",
    "EventArrays",
    "EventVocabulary",
    "FittedEncoder",
    "Retrieval",
    "Retriever",
    "SequenceEncoder",
    "Space",
    "TextSpace",
    "TrainingOptions",
    "Where",
    "fit_encoder",
    "relative_popularity",
]
