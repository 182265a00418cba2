"""`rag lab robust`."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from collections.abc import Sequence
from pathlib import Path

from rag.commands import add_plugins, positive, progress_bar, say, say_json
from rag.errors import SpecError
from rag.graphs import Spec, load_spec
from ragline_lab.robust.report import RobustReport
from ragline_lab.robust.report_text import asked_told, defences_told, rows_of
from ragline_lab.robust.robust import robust
from ragline_lab.robust.ways import UNDEFENDED, model_part, ways_of
from ragline_lab.robust.written import PAGE


def options(parser: ArgumentParser) -> None:
    set_help = "JSONL: question, answers, wrong_answers, and documents, each with its kind"
    parser.add_argument("--set", dest="questions", required=True, metavar="F.jsonl", help=set_help)
    model_help = "a model, with the built-in ways to answer; packaged name, folder, hub id, .gguf; again: another"
    parser.add_argument("--model", action="append", default=[], metavar="NAME", help=model_help)
    engine_help = "what runs them (default: llama_cpp for a .gguf, else transformers)"
    parser.add_argument("--engine", choices=("transformers", "llama_cpp", "vllm_offline"), help=engine_help)
    ways_help = "only these built-in ways; one string, the undefended one is `cited` (default: all of them)"
    parser.add_argument("--ways", metavar="WAYS", help=ways_help)
    parser.add_argument("--search", default="dense", metavar="G", help="graph that orders the documents (dense)")
    graph_help = "a way of your own: a graph that answers; again: another"
    parser.add_argument("--graph", action="append", default=[], metavar="NAME=FILE", help=graph_help)
    parser.add_argument("--baseline", metavar="NAME", help="the undefended way of each model (default: cited)")
    parser.add_argument("--limit", type=positive, metavar="N", help="only N questions, chosen by their ids")
    parser.add_argument("--language", default="en", metavar="CODE", help="ISO 639-1 language of answers (en)")
    parser.add_argument("--out", required=True, metavar="DIR", help="folder to write, and to go on in")
    parser.add_argument("--json", action="store_true", help="print one JSON document")
    add_plugins(parser)


def run(given: Namespace) -> int:
    """Ask in all ways, print shares and comparisons, and write the folder."""
    baseline = given.baseline or UNDEFENDED
    ways = ways_of(
        {name: model_part(name, given.engine) for name in given.model},
        _graphs(given.graph),
        search=load_spec(given.search),
        names=None if given.ways is None else given.ways.split(),
        baseline=baseline,
    )
    with progress_bar() as progress:
        report = robust(
            Path(given.questions),
            ways,
            out=Path(given.out),
            baseline=baseline,
            limit=given.limit,
            language=given.language,
            command=given.typed,
            progress=progress,
        )
    if given.json:
        say_json(report.as_dict())
    else:
        show(report)
        say(f"\npage: {Path(given.out) / PAGE}")
    return 0


def _graphs(named: Sequence[str]) -> dict[str, Spec]:
    """Name -> graph, of NAME=FILE."""
    graphs: dict[str, Spec] = {}
    for each in named:
        name, given, graph = each.partition("=")
        if not (name and given and graph):
            raise SpecError(f"--graph {each}: NAME=FILE is wanted, a name for the report and a graph that answers")
        if name in graphs:
            raise SpecError(f"--graph {each}: the name '{name}' is given twice")
        graphs[name] = load_spec(graph)
    return graphs


def show(report: RobustReport) -> None:
    say(asked_told(report))
    say()
    rows = rows_of(report.rows)
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        say("  " + "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())
    for line in defences_told(report):
        say()
        say(line)
