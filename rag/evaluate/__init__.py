"""How good a run or its answers are, and whether a difference between two is more than luck.

What runs a graph is loaded when one of its names is first used: comparing runs does without.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from rag.core.run_files import RunFile
from rag.core.trec import Qrels, read_qrels, read_run, strictly_falling
from rag.evaluate.answers import ANSWER_MEASURES, answer_measure_name, evaluate_answers, words_of
from rag.evaluate.beir import Dataset, Item, load_beir, read_items
from rag.evaluate.comparison import Compared, compare_runs, compare_with_baseline
from rag.evaluate.measured_runs import is_measured, measured_run
from rag.evaluate.measures import Evaluation, document_order, evaluate, parse_measures
from rag.evaluate.report import read_object, read_per_query, results, write_per_query, write_results
from rag.evaluate.scope import RETRIEVAL_MEASURES, Plan, measure_name, plan_evaluation
from rag.evaluate.significance import Interval, Significance, compare, holm, mean_interval, paired_randomisation
from rag.evaluate.text_overlap import holds, normalised_words, token_f1

if TYPE_CHECKING:
    from rag.evaluate.eval_report import EvalReport
    from rag.evaluate.graph_evaluation import (
        BATCH,
        Outputs,
        cached_index,
        evaluate_graph,
        language_of,
        opened,
        plan_for,
    )
    from rag.evaluate.trails import Lists, Trail, Trails, read_trails

_LAZY = {
    **dict.fromkeys(("EvalReport",), "rag.evaluate.eval_report"),
    **dict.fromkeys(
        ("BATCH", "Outputs", "cached_index", "evaluate_graph", "language_of", "opened", "plan_for"),
        "rag.evaluate.graph_evaluation",
    ),
    **dict.fromkeys(("Lists", "Trail", "Trails", "read_trails"), "rag.evaluate.trails"),
}

__all__ = [
    "ANSWER_MEASURES",
    "BATCH",
    "RETRIEVAL_MEASURES",
    "Compared",
    "Dataset",
    "EvalReport",
    "Evaluation",
    "Interval",
    "Item",
    "Lists",
    "Outputs",
    "Plan",
    "Qrels",
    "RunFile",
    "Significance",
    "Trail",
    "Trails",
    "answer_measure_name",
    "cached_index",
    "compare",
    "compare_runs",
    "compare_with_baseline",
    "document_order",
    "evaluate",
    "evaluate_answers",
    "evaluate_graph",
    "holds",
    "holm",
    "is_measured",
    "language_of",
    "load_beir",
    "mean_interval",
    "measure_name",
    "measured_run",
    "normalised_words",
    "opened",
    "paired_randomisation",
    "parse_measures",
    "plan_evaluation",
    "plan_for",
    "read_items",
    "read_object",
    "read_per_query",
    "read_qrels",
    "read_run",
    "read_trails",
    "results",
    "strictly_falling",
    "token_f1",
    "words_of",
    "write_per_query",
    "write_results",
]


def __getattr__(name: str) -> Any:
    if name not in _LAZY:
        raise AttributeError(f"module 'rag.evaluate' has no attribute '{name}'")
    return getattr(import_module(_LAZY[name]), name)
