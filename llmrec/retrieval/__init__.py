"""From a history to candidates: item vectors, the FAISS index, the retriever."""

from llmrec.retrieval.catalogue import Catalogue, CatalogueKeeper, Where
from llmrec.retrieval.retriever import Retrieval, Retriever, relative_popularity

__all__ = ["Catalogue", "CatalogueKeeper", "Retrieval", "Retriever", "Where", "relative_popularity"]
