"""What an evaluation of a graph found: measures, costs, and what went wrong on the way."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from rag.core.report import Failure, NodeReport
from rag.evaluate.measures import Evaluation
from rag.evaluate.significance import Interval, Significance
from rag.pipeline.as_json import failures_json
from rag.stages.risk.bounds import Choice


@dataclass(frozen=True, slots=True, kw_only=True)
class EvalReport:
    """Measures of a graph on a data set, with what it cost and what went wrong on the way.

    `seconds` is wall time of the queries; building an index is not in it. `intervals`: measure -> 95% interval of its mean.
    `significance`: measure -> comparison with the baseline, where one was given. `statuses` and `outcomes`: how many
    answers had which, where answers were measured. `risk`: risk against coverage, where answers say how sure they are.
    `command`: the words that make the same again, where a command made it.
    """

    dataset: str
    split: str
    graph: str
    evaluation: Evaluation
    seconds: float
    nodes: tuple[NodeReport, ...]
    failures: tuple[Failure, ...]
    index: str
    intervals: Mapping[str, Interval] = field(default_factory=dict)
    significance: Mapping[str, Significance] = field(default_factory=dict)
    statuses: Mapping[str, int] = field(default_factory=dict)
    outcomes: Mapping[str, int] = field(default_factory=dict)
    risk: tuple[Choice, ...] = ()
    command: tuple[str, ...] = ()

    @property
    def worst_share(self) -> float:
        """The largest share, over nodes, of items that were repaired, fell back or failed; failed queries count too."""
        lost = len({f.qid for f in self.failures}) / max(self.evaluation.n_queries, 1)
        return max([*(node.bad_share for node in self.nodes), lost])

    def as_dict(self) -> dict[str, Any]:
        """The documented JSON form (docs/reference/json.md)."""
        answers = {"answers": {"status": dict(self.statuses), "outcome": dict(self.outcomes)}} if self.statuses else {}
        return {
            "dataset": self.dataset,
            "split": self.split,
            "graph": self.graph,
            "index": self.index,
            "measures": dict(self.evaluation.measures),
            "intervals": {name: {"n": i.n, "low": i.low, "high": i.high} for name, i in self.intervals.items()},
            "queries": self.evaluation.n_queries,
            "seconds": round(self.seconds, 3),
            "significance": {
                name: {"difference": s.difference, "p": s.p, "low": s.low, "high": s.high}
                for name, s in self.significance.items()
            },
            **answers,
            **({"command": list(self.command)} if self.command else {}),
            **({"risk": [step.as_dict() for step in self.risk]} if self.risk else {}),
            "outcomes": {node.name: dict(node.outcomes) for node in self.nodes},
            "nodes": [node.as_dict() for node in self.nodes],
            "failures": failures_json(self.failures),
        }
