"""The folder of a run: names of its files."""

from __future__ import annotations

from enum import StrEnum


class RunFile(StrEnum):
    """The files of a run folder, beside the run of each ranking node."""

    GRAPH = "graph.json"
    """The graph."""
    PROVENANCE = "provenance.json"
    """What made the run: libraries, machine, models, prompts, index and data."""
    ANSWERS = "answers.jsonl"
    """A line for each answer; `rag batch` writes it too."""
    TRAILS = "trails.json"
    """What became of each query on its way through the graph."""
    PER_QUERY = "per_query.csv"
    """Values per query."""
    REPORT = "report.json"
    """What `rag eval` found."""
    RISK = "risk.svg"
    """Risk against coverage, where answers say how sure they are."""

    @staticmethod
    def of_node(node: str) -> str:
        """The TREC run of a ranking node."""
        return f"{file_name(node)}.trec"


def file_name(node: str) -> str:
    """The name of a node as a file may have it."""
    return "".join(c if c.isalnum() or c in "-_" else "_" for c in node) or "_"
