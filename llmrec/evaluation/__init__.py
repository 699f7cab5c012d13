"""How good recommendations are: protocols, metrics, baselines, uncertainty and the report."""

from llmrec.evaluation.baselines import Als, Ease, Popularity, TextOnly, tuned_ease
from llmrec.evaluation.description import describe_data, describe_environment
from llmrec.evaluation.encoders import EncoderSystem
from llmrec.evaluation.impressions import ReleaseOutcome, release_outcomes
from llmrec.evaluation.interactions import Interactions, Sequences
from llmrec.evaluation.loading import (
    interactions_from_events,
    interactions_from_files,
    interactions_from_sequences,
    interactions_from_store,
    read_items,
)
from llmrec.evaluation.measuring import EvaluationOptions, evaluate, measure
from llmrec.evaluation.page import report_page
from llmrec.evaluation.protocols import (
    Requests,
    Split,
    hold_out_items,
    leave_one_out,
    temporal_split,
    training_interactions,
)
from llmrec.evaluation.report import Report
from llmrec.evaluation.runs import Run, run
from llmrec.evaluation.systems import Scorer, System, rank_by_score, top_rows

__all__ = [
    "Als",
    "Ease",
    "EncoderSystem",
    "EvaluationOptions",
    "Interactions",
    "Popularity",
    "ReleaseOutcome",
    "Report",
    "Requests",
    "Run",
    "Scorer",
    "Sequences",
    "Split",
    "System",
    "TextOnly",
    "describe_data",
    "describe_environment",
    "evaluate",
    "hold_out_items",
    "interactions_from_events",
    "interactions_from_files",
    "interactions_from_sequences",
    "interactions_from_store",
    "leave_one_out",
    "measure",
    "rank_by_score",
    "read_items",
    "release_outcomes",
    "report_page",
    "run",
    "temporal_split",
    "top_rows",
    "training_interactions",
    "tuned_ease",
]
