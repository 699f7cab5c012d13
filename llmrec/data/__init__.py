"""Data in and kept: readers of files and tables, the all-or-nothing import, and the store."""

from llmrec.data.datasets import DATASETS, fetch_dataset
from llmrec.data.engine import SqliteInfo, sqlite_info
from llmrec.data.histories import history_of
from llmrec.data.importer import ImportReport, import_records
from llmrec.data.merging import Counts
from llmrec.data.reading import FILE_FORMATS, detect, read
from llmrec.data.release_log import ReleaseDeed, ReleaseState
from llmrec.data.sources import Kind, Source
from llmrec.data.store import Store

__all__ = [
    "DATASETS",
    "FILE_FORMATS",
    "Counts",
    "ImportReport",
    "Kind",
    "ReleaseDeed",
    "ReleaseState",
    "Source",
    "SqliteInfo",
    "Store",
    "detect",
    "fetch_dataset",
    "history_of",
    "import_records",
    "read",
    "sqlite_info",
]
