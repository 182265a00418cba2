"""`rag eval`."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from pathlib import Path

from rag.cli.console import say, say_json, warn
from rag.cli.options import GRAPH_HELP, LANGUAGE_HELP, add_plugins, calibrated, positive
from rag.cli.progress import progress_bar
from rag.cli.risk_table import risk_table
from rag.evaluate.beir import load_beir
from rag.evaluate.eval_report import EvalReport
from rag.evaluate.graph_evaluation import evaluate_graph
from rag.evaluate.risk import CONFIDENCE
from rag.graph.load import load_spec
from rag.indexing.languages import in_language


def options(parser: ArgumentParser) -> None:
    """What the command takes."""
    parser.add_argument("dataset", metavar="DATASET")
    parser.add_argument("--graph", required=True, metavar="G", help=GRAPH_HELP)
    calibrated(parser)
    parser.add_argument("--split", default="test")
    parser.add_argument("--measures", help="in one string: of ir_measures, AllRelevant@k, EM, F1, ROUGE-L, ...")
    parser.add_argument("--baseline", metavar="RUN", help="TREC run or run folder to compare with, paired")
    parser.add_argument("--run", metavar="FILE", help="TREC run to use as first stage")
    parser.add_argument("--within", metavar="FIELD", help="a query searches only documents that share its FIELD")
    parser.add_argument("--limit", type=positive, metavar="N", help="only the first N questions")
    parser.add_argument("--language", metavar="CODE", help=LANGUAGE_HELP)
    parser.add_argument("--max-failures", type=float, metavar="SHARE", help="exit 5 above this share of bad outcomes")
    parser.add_argument("--out", required=True, metavar="DIR", help="run folder to write")
    parser.add_argument("--json", action="store_true", help="print one JSON document")
    add_plugins(parser)


def run(args: Namespace) -> int:
    """Evaluate a graph, print measures beside cost and outcomes, and write the run folder."""
    spec = load_spec(args.graph)
    settings = in_language(spec.graph.index, args.language) if args.language else spec.graph.index
    with progress_bar() as progress:
        report = evaluate_graph(
            load_beir(args.dataset, within=args.within),
            spec,
            out=Path(args.out),
            split=args.split,
            measures=None if args.measures is None else args.measures.split(),
            settings=settings,
            baseline=Path(args.baseline) if args.baseline else None,
            run=Path(args.run).absolute() if args.run else None,
            limit=args.limit,
            calibration=Path(args.calibration) if args.calibration else None,
            risk=args.risk,
            confidence=args.confidence,
            min_relevance=args.min_relevance,
            command=args.typed,
            progress=progress,
        )
    if args.json:
        say_json(report.as_dict())
    else:
        show(report)
        say(f"\nrun folder: {args.out}")
    if args.max_failures is not None and report.worst_share > args.max_failures:
        warn(
            f"rag: a node has {report.worst_share:.1%} of its outcomes repaired, fallen back or failed; "
            f"--max-failures allows {args.max_failures:.1%}"
        )
        return 5
    return 0


def show(report: EvalReport) -> None:
    """The report as aligned text."""
    say(f"{report.dataset} ({report.split}), graph {report.graph}, {report.evaluation.n_queries:,} queries")
    width = max(10, *(len(name) for name in report.evaluation.measures))
    intervals = report.intervals
    for name, value in report.evaluation.measures.items():
        own = intervals[name]
        line = f"  {name:<{width}} {value:.4f}  95% [{own.low:.4f}, {own.high:.4f}] of {own.n:,}"
        if name in report.significance:
            s = report.significance[name]
            line += f"   {s.difference:+.4f} to the baseline, 95% [{s.low:+.4f}, {s.high:+.4f}], p = {s.p:.4f}"
        say(line)
    for what, counted in (("answers", report.statuses), ("outcomes of answers", report.outcomes)):
        if counted:
            shares = (f"{kind} {n / sum(counted.values()):.1%}" for kind, n in sorted(counted.items()))
            say(f"  {what}: {', '.join(shares)}")
    if report.risk:
        say("\n  of answers from a confidence on; each bound is for its threshold alone")
        say(risk_table(report.risk, CONFIDENCE))
    _show_nodes(report)
    for failure in report.failures[:5]:
        warn(f"  failed: qid '{failure.qid}' at node '{failure.node}': {failure.error}")
    if len(report.failures) > 5:
        warn(f"  ... and {len(report.failures) - 5} more, in report.json")


def _show_nodes(report: EvalReport) -> None:
    """What each node cost and how its work went, in all and per query. Prompt tokens include those found in a cache."""
    columns = f"{'seconds':>9} {'calls':>7} {'prompt':>10} {'cached':>10} {'new':>9}  outcomes"
    say(f"\n  {'node':<14} {'component':<24} {columns}")
    for node in report.nodes:
        usage = node.usage
        kinds = [*sorted(node.outcomes.items()), *sorted(node.counts.items())]
        outcomes = ", ".join(f"{kind} {n}" for kind, n in kinds)
        say(
            f"  {node.name:<14} {node.use:<24} {node.seconds:>9.2f} {usage.calls:>7,} {usage.prompt_tokens:>10,} "
            f"{usage.cached_tokens:>10,} {usage.new_tokens:>9,}  {outcomes}"
        )
    per_query = f"{'seconds':>9} {'calls':>7} {'prompt':>10} {'cached':>10} {'new':>9}  of the calls"
    say(f"\n  {'per query':<39} {per_query}")
    for node in report.nodes:
        seconds, calls, *tokens = node.per_query.values()
        costs = f"{seconds:>9.3f} {calls:>7,.1f} " + " ".join(
            f"{n:>{width},.1f}" for n, width in zip(tokens, (10, 10, 9), strict=True)
        )
        rates = ", ".join(f"{kind} {share:.1%}" for kind, share in node.rates.items())
        say(f"  {node.name:<14} {node.use:<24} {costs}  {rates}".rstrip())
