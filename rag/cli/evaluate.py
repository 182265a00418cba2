"""`rag eval`."""

from __future__ import annotations

from argparse import Namespace
from pathlib import Path

from rag.beir import load_beir
from rag.cli.console import progress_bar, say, say_json, warn
from rag.cli.index import in_language
from rag.evaluation import EvalReport, evaluate_graph
from rag.graph.spec import load_spec


def run(given: Namespace) -> int:
    """Evaluate a graph, print measures beside cost and outcomes, and write the run folder."""
    spec = load_spec(given.graph)
    settings = in_language(spec.graph.index, given.language) if given.language else spec.graph.index
    with progress_bar() as progress:
        report = evaluate_graph(
            load_beir(given.dataset),
            spec,
            out=Path(given.out),
            split=given.split,
            measures=given.measures.split(),
            settings=settings,
            baseline=Path(given.baseline) if given.baseline else None,
            run=Path(given.run).absolute() if given.run else None,
            limit=given.limit,
            progress=progress,
        )
    if given.json:
        say_json(report.as_dict())
    else:
        show(report)
        say(f"\nrun folder: {given.out}")
    if given.max_failures is not None and report.worst_share > given.max_failures:
        warn(
            f"rag: a node has {report.worst_share:.1%} of its outcomes repaired, fallen back or failed; "
            f"--max-failures allows {given.max_failures:.1%}"
        )
        return 5
    return 0


def show(report: EvalReport) -> None:
    """The report as aligned text."""
    say(f"{report.dataset} ({report.split}), graph {report.graph}, {report.evaluation.n_queries:,} queries")
    for name, value in report.evaluation.measures.items():
        line = f"  {name:<10} {value:.4f}"
        if name in report.significance:
            s = report.significance[name]
            line += f"   {s.difference:+.4f} to the baseline, 95% [{s.low:+.4f}, {s.high:+.4f}], p = {s.p:.4f}"
        say(line)
    say(f"\n  {'node':<14} {'component':<24} {'seconds':>9} {'calls':>7} {'tokens':>10}  outcomes")
    for node in report.nodes:
        tokens = node.usage.prompt_tokens + node.usage.new_tokens
        outcomes = ", ".join(f"{kind} {n}" for kind, n in sorted(node.outcomes.items()))
        counts = "".join(f", {kind} {n}" for kind, n in sorted(node.counts.items()))
        say(
            f"  {node.name:<14} {node.use:<24} {node.seconds:>9.2f} {node.usage.calls:>7,} {tokens:>10,}  {outcomes}{counts}"
        )
    for failure in report.failures[:5]:
        warn(f"  failed: qid '{failure.qid}' at node '{failure.node}': {failure.error}")
    if len(report.failures) > 5:
        warn(f"  ... and {len(report.failures) - 5} more, in report.json")
