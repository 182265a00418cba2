"""How good a run or its answers are, and whether a difference between two is more than luck."""

from rag.evaluate.answers import ANSWER_MEASURES, evaluate_answers
from rag.evaluate.comparison import Compared, compare_runs, compare_with_baseline
from rag.evaluate.measured_runs import measured_run
from rag.evaluate.measures import Evaluation, document_order, evaluate, parse_measures
from rag.evaluate.report import PER_QUERY, read_per_query, results, write_per_query, write_results
from rag.evaluate.scope import RETRIEVAL_MEASURES, Plan, plan_evaluation
from rag.evaluate.significance import Interval, Significance, compare, holm, mean_interval, paired_randomisation

__all__ = [
    "ANSWER_MEASURES",
    "PER_QUERY",
    "RETRIEVAL_MEASURES",
    "Compared",
    "Evaluation",
    "Interval",
    "Plan",
    "Significance",
    "compare",
    "compare_runs",
    "compare_with_baseline",
    "document_order",
    "evaluate",
    "evaluate_answers",
    "holm",
    "mean_interval",
    "measured_run",
    "paired_randomisation",
    "parse_measures",
    "plan_evaluation",
    "read_per_query",
    "results",
    "write_per_query",
    "write_results",
]
