"""`rag batch`."""

from __future__ import annotations

import signal
import threading
from argparse import ArgumentParser, Namespace
from collections.abc import Iterator
from contextlib import contextmanager
from functools import reduce
from types import FrameType

from rag.batch.folder import FAILURES
from rag.batch.run import WORKERS, BatchReport, Forecast, run_batch
from rag.cli.asking import asker_of
from rag.cli.console import say, say_json, warn
from rag.cli.options import (
    GRAPH_HELP,
    calibrated,
    filtered,
    indexed,
    permitted,
    positive,
    running,
    written,
)
from rag.cli.progress import progress_bar
from rag.core.clusters import CLUSTERS, Cluster
from rag.core.filters import both
from rag.pipeline import load_pipeline


def options(parser: ArgumentParser) -> None:
    """What the command takes."""
    questions_help = ".jsonl: a JSON object a line, id and question; .txt: a question a line"
    parser.add_argument("questions", metavar="QUESTIONS", help=questions_help)
    parser.add_argument("--graph", default="ask", metavar="G", help=GRAPH_HELP)
    indexed(parser, needed=False, several=True)
    written(parser)
    calibrated(parser)
    parser.add_argument("--out", required=True, metavar="DIR", help="run folder to write")
    parser.add_argument("--resume", action="store_true", help="go on with the run in --out; repeats nothing")
    parser.add_argument("--retry-failed", action="store_true", help="as --resume, and ask what failed again")
    parser.add_argument("--workers", type=positive, metavar="N", help="batches at a time (default: 2; by stage 1)")
    parser.add_argument("--batch", type=positive, metavar="N", help="questions a batch (default: 64; by stage 1,024)")
    parser.add_argument("--by-stage", action="store_true", help="each stage alone in memory: only the largest must fit")
    parser.add_argument(
        "--ray", metavar="ADDRESS", help="work on this Ray cluster, or 'local'; --workers actors a stage"
    )
    parser.add_argument("--ray-gpus", type=float, default=0, metavar="N", help="GPUs of an actor that runs a model")
    parser.add_argument("--limit", type=positive, metavar="N", help="only the first N questions")
    filtered(parser)
    permitted(parser)
    parser.add_argument("--json", action="store_true", help="print one JSON document")
    running(parser)


def run(args: Namespace) -> int:
    """Answer a file of questions, then print what it cost. Exit 5 if any question failed."""
    loaded = load_pipeline(
        args.graph,
        index=args.index,
        model=args.model,
        url=args.url,
        calibration=args.calibration,
        risk=args.risk,
        confidence=args.confidence,
        min_relevance=args.min_relevance,
        offline=args.offline,
        by_stage=args.by_stage,
    )
    with loaded as pipeline, progress_bar() as progress, _told_to_end():
        report = run_batch(
            args.questions,
            pipeline,
            out=args.out,
            resume=args.resume,
            retry_failed=args.retry_failed,
            workers=args.workers,
            batch=args.batch,
            limit=args.limit,
            where=reduce(both, args.where, None),
            asker=asker_of(args.asker),
            cluster=_cluster(args),
            progress=progress,
            forecast=_tell,
        )
    if args.json:
        say_json({"graph": args.graph, "index": args.index, "out": args.out, **report.as_dict()})
    else:
        _show(report)
    return 5 if report.n_failed else 0


@contextmanager
def _told_to_end() -> Iterator[None]:
    """Inside the block SIGTERM, by which a scheduler or a container ends a process, is what Ctrl-C is."""
    if threading.current_thread() is not threading.main_thread():  # signals come to the main thread alone
        yield
        return

    def end(number: int, frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, end)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _cluster(args: Namespace) -> Cluster | None:
    if args.ray is None:
        return None
    cluster: Cluster = CLUSTERS.get("ray")(address=args.ray, actors=args.workers or WORKERS, cpus=1, gpus=args.ray_gpus)
    return cluster


def _tell(forecast: Forecast) -> None:
    warn(
        f"rag: {forecast.n_left:,} questions to go: about {_duration(forecast.seconds)} and {forecast.tokens:,} tokens, "
        "judged by the first"
    )


def _show(report: BatchReport) -> None:
    say(
        f"{report.n_answered:,} questions answered, {report.n_failed:,} failed, {report.n_kept:,} were done before; "
        f"{_duration(report.seconds)}; in {report.out}"
    )
    if report.nodes:
        say(f"\n  {'node':<14} {'component':<24} {'seconds':>9} {'calls':>7} {'tokens':>10}  outcomes")
    for node in report.nodes:
        tokens = node.usage.prompt_tokens + node.usage.new_tokens
        outcomes = ", ".join(f"{kind} {n}" for kind, n in sorted(node.outcomes.items()))
        say(f"  {node.name:<14} {node.use:<24} {node.seconds:>9.2f} {node.usage.calls:>7,} {tokens:>10,}  {outcomes}")
    if report.n_failed:
        warn(f"rag: {report.n_failed:,} questions failed; causes in {report.out / FAILURES}; again with --retry-failed")


def _duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02} min" if hours else f"{minutes} min {rest:02} s" if minutes else f"{seconds:.1f} s"
