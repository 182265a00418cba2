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
    from rag.evaluate.right import RIGHT
    from rag.evaluate.trails import Lists, Trail, Trails, read_trails
    from rag.indexing.shadow import build_shadow, promote_shadow
    from rag.pipeline.questions import read_questions
    from rag.stages.risk.bounds import Choice, curve_of
    from rag.stages.risk.calibration import Answers, Calibration, Hits, Target
    from rag.stages.risk.gate import Gate
    from rag.stages.risk.logistic import Logistic
    from rag.stages.risk.reading import SignalReader
    from rag.stages.risk.relevance import Scale

_LAZY = {
    **dict.fromkeys(("EvalReport",), "rag.evaluate.eval_report"),
    **dict.fromkeys(
        ("BATCH", "Outputs", "cached_index", "evaluate_graph", "language_of", "opened", "plan_for"),
        "rag.evaluate.graph_evaluation",
    ),
    **dict.fromkeys(("RIGHT",), "rag.evaluate.right"),
    **dict.fromkeys(("Lists", "Trail", "Trails", "read_trails"), "rag.evaluate.trails"),
    **dict.fromkeys(("build_shadow", "promote_shadow"), "rag.indexing.shadow"),
    **dict.fromkeys(("read_questions",), "rag.pipeline.questions"),
    **dict.fromkeys(("Choice", "curve_of"), "rag.stages.risk.bounds"),
    **dict.fromkeys(("Answers", "Calibration", "Hits", "Target"), "rag.stages.risk.calibration"),
    **dict.fromkeys(("Gate",), "rag.stages.risk.gate"),
    **dict.fromkeys(("Logistic",), "rag.stages.risk.logistic"),
    **dict.fromkeys(("SignalReader",), "rag.stages.risk.reading"),
    **dict.fromkeys(("Scale",), "rag.stages.risk.relevance"),
}

__all__ = [
    "ANSWER_MEASURES",
    "BATCH",
    "RETRIEVAL_MEASURES",
    "RIGHT",
    "Answers",
    "Calibration",
    "Choice",
    "Compared",
    "Dataset",
    "EvalReport",
    "Evaluation",
    "Gate",
    "Hits",
    "Interval",
    "Item",
    "Lists",
    "Logistic",
    "Outputs",
    "Plan",
    "Qrels",
    "RunFile",
    "Scale",
    "SignalReader",
    "Significance",
    "Target",
    "Trail",
    "Trails",
    "answer_measure_name",
    "build_shadow",
    "cached_index",
    "compare",
    "compare_runs",
    "compare_with_baseline",
    "curve_of",
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
    "promote_shadow",
    "read_items",
    "read_object",
    "read_per_query",
    "read_qrels",
    "read_questions",
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
