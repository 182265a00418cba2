"""`rag check`."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from collections.abc import Iterable

from rag.cli.console import say, say_json, warn
from rag.cli.options import GRAPH_HELP, add_plugins
from rag.core.errors import SpecError
from rag.graph.check import check
from rag.graph.load import load_spec
from rag.graph.schema import graph_schema
from rag.pipeline.memory_plan import MemoryPlan, plan_turns, require_room


def options(parser: ArgumentParser) -> None:
    """What the command takes."""
    parser.add_argument("graph", nargs="?", metavar="G", help=GRAPH_HELP)
    parser.add_argument("--index", metavar="DIR", help="also check it against this index")
    parser.add_argument("--memory", action="store_true", help="also print what each part will need of the memory")
    parser.add_argument("--by-stage", action="store_true", help="the same for `rag batch --by-stage`, stage by stage")
    parser.add_argument("--connect", action="store_true", help="ask the graph's servers what they can read")
    parser.add_argument("--schema", action="store_true", help="print the JSON Schema of graph files, for editors")
    add_plugins(parser)


def run(args: Namespace) -> int:
    """Say that a graph is good, or all that is wrong with it."""
    if args.schema:
        say_json(graph_schema())
        return 0
    if args.graph is None:
        raise SpecError("rag check: name a graph, or give --schema")
    spec = load_spec(args.graph)
    index = None
    if args.index:
        from retrievers.index.opening import asks_a_server, open_index

        if args.connect or not asks_a_server(args.index):
            index = open_index(args.index)
        else:
            warn(f"note: index '{args.index}' is on a server, which is not asked. --connect asks it")
    checked = check(spec, index=index, connect=args.connect)
    for note in checked.notes:
        warn(f"note: {note}")
    if checked.problems:
        raise SpecError(*checked.problems)
    if index is not None:
        index.check(spec.graph.index, checked.legs)
    is_planned = args.memory or args.by_stage
    if is_planned or index is not None:
        plans = plan_turns(checked, by_stage=args.by_stage, index=index)
        for plan in plans if is_planned else ():
            if args.by_stage:
                say(f"{plan.whose}:")
            for line in plan.table():
                say(line)
        _require_room(plans, spec.graph.otherwise)
    legs = f"; searches {', '.join(checked.legs)}" if checked.legs else ""
    say(f"{spec.source.name}: {len(spec.graph.nodes)} nodes, output '{spec.graph.output}'{legs}: good")
    return 0


def _require_room(plans: Iterable[MemoryPlan], otherwise: str | None) -> None:
    """As `require_room`; where another graph is named for that, it is a note."""
    try:
        require_room(plans)
    except SpecError as problem:
        if otherwise is None:
            raise
        warn(f"note: {problem}")
        warn(f"note: graph '{otherwise}' is loaded in its place on this machine")
