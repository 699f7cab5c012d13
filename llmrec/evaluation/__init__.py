"""How good recommendations are: protocols, metrics, baselines, uncertainty and the report."""

from llmrec.evaluation.baselines import Als, Ease, Popularity, TextOnly
from llmrec.evaluation.control import Control
from llmrec.evaluation.datasets import (
    MEMORISED,
    EvaluationData,
    data_from_files,
    data_from_folder,
    data_from_store,
)
from llmrec.evaluation.description import describe_data, describe_environment
from llmrec.evaluation.encoders import EncoderSystem, FittedSystem
from llmrec.evaluation.groups import user_groups
from llmrec.evaluation.impressions import ReleaseOutcome, release_outcomes, stored_outcomes
from llmrec.evaluation.interactions import Interactions, Sequences
from llmrec.evaluation.lineup import Lineup, SasRec
from llmrec.evaluation.loading import (
    interactions_from_events,
    interactions_from_files,
    interactions_from_sequences,
    interactions_from_store,
    read_items,
    read_users,
)
from llmrec.evaluation.measuring import EvaluationOptions, evaluate, measure
from llmrec.evaluation.page import report_page
from llmrec.evaluation.plots import require_plots
from llmrec.evaluation.protocols import (
    Requests,
    Split,
    hold_out_items,
    leave_last_out,
    leave_one_out,
    temporal_split,
    training_interactions,
)
from llmrec.evaluation.report import Report
from llmrec.evaluation.runs import Run, run
from llmrec.evaluation.standard import Protocol, ProtocolName, standard_report
from llmrec.evaluation.systems import Scorer, System, rank_by_score, top_rows
from llmrec.evaluation.texts import text_vectors

__all__ = [
    "MEMORISED",
    "Als",
    "Control",
    "Ease",
    "EncoderSystem",
    "EvaluationData",
    "EvaluationOptions",
    "FittedSystem",
    "Interactions",
    "Lineup",
    "Popularity",
    "Protocol",
    "ProtocolName",
    "ReleaseOutcome",
    "Report",
    "Requests",
    "Run",
    "SasRec",
    "Scorer",
    "Sequences",
    "Split",
    "System",
    "TextOnly",
    "data_from_files",
    "data_from_folder",
    "data_from_store",
    "describe_data",
    "describe_environment",
    "evaluate",
    "hold_out_items",
    "interactions_from_events",
    "interactions_from_files",
    "interactions_from_sequences",
    "interactions_from_store",
    "leave_last_out",
    "leave_one_out",
    "measure",
    "rank_by_score",
    "read_items",
    "read_users",
    "release_outcomes",
    "report_page",
    "require_plots",
    "run",
    "standard_report",
    "stored_outcomes",
    "temporal_split",
    "text_vectors",
    "top_rows",
    "training_interactions",
    "user_groups",
]
