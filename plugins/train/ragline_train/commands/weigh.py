"""questions without judgements -> how far each list of a fusion is to be trusted"""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from pathlib import Path

from rag import load_pipeline
from rag.commands import GRAPH_HELP, add_plugins, indexed, positive, say, say_json
from rag.errors import SpecError
from rag.evaluate import read_questions
from rag.graphs import Graph
from rag.indexes import open_index
from rag.types import Ranking
from ragline_train.leg_weights import leg_weights, prior_of

_JUDGE = "retrieve.late_interaction"


def options(parser: ArgumentParser) -> None:
    parser.add_argument("questions", metavar="QUESTIONS", help="JSONL, or a question a line in a .txt file")
    parser.add_argument("--graph", required=True, metavar="G", help=GRAPH_HELP)
    indexed(parser, needed=True)
    parser.add_argument("--node", metavar="NAME", help="the fusion (default: the only one)")
    parser.add_argument(
        "--judge", metavar="NAME", help="the list that judges (default: that of retrieve.late_interaction)"
    )
    parser.add_argument("--limit", type=positive, metavar="N", help="only the first N questions")
    parser.add_argument("--json", action="store_true", help="print one JSON document")
    parser.add_argument("--offline", action="store_true", help="fail rather than fetch a model")
    add_plugins(parser)


def run(given: Namespace) -> int:
    """Ask the lists of a fusion all questions, and say how far each is to be trusted."""
    queries = list(read_questions(Path(given.questions), limit=given.limit))
    if not queries:
        raise SpecError(f"{given.questions} has no questions")
    with (
        open_index(given.index) as index,
        load_pipeline(given.graph, index=index, offline=given.offline) as pipeline,
    ):
        graph = pipeline.graph
        node = given.node or _fusion(graph)
        sources = graph.node(node).inputs
        judge = given.judge or _judge(graph, sources)
        records = pipeline.run(queries, to=node).records
        lists = {name: [each for each in records[name] if isinstance(each, Ranking)] for name in sources}
        prior = {name: prior_of(graph.node(name).use) for name in sources}
    weights = leg_weights(lists, judge=judge, prior=prior)
    if given.json:
        document = {each.source: {"agreement": each.agreement, "weight": each.weight} for each in weights}
        say_json({"graph": given.graph, "node": node, "judge": judge, "questions": len(queries), "lists": document})
        return 0
    say(f"{len(queries):,} questions, no judgements; lists of '{node}', judged by '{judge}'\n")
    width = max(len(each.source) for each in weights)
    for each in weights:
        say(f"{each.source:<{width}}  agreement {each.agreement:.3f}  weight {each.weight:.3f}")
    told = ", ".join(f"{each.source}: {each.weight:.3f}" for each in weights)
    say(f"\nin the graph:\n  {node}: {{use: fuse.weighted, ..., with: {{norm: z_score, weights: {{{told}}}}}}}")
    return 0


def _fusion(graph: Graph) -> str:
    """The only node that fuses several lists.

    Raises:
        SpecError: there is none, or more than one.
    """
    found = [node.name for node in graph.nodes if node.stage == "fuse" and len(node.inputs) > 1]
    if len(found) != 1:
        raise SpecError(
            f"the graph fuses in {', '.join(found) or 'no node'}: name a node with several inputs with --node"
        )
    return found[0]


def _judge(graph: Graph, sources: tuple[str, ...]) -> str:
    """The list by late interaction.

    Raises:
        SpecError: there is none.
    """
    found = [name for name in sources if graph.node(name).use == _JUDGE]
    if not found:
        raise SpecError(
            f"none of the lists {', '.join(sources)} is by {_JUDGE}, which judges the others. Add one, or name a judge with "
            "--judge"
        )
    return found[0]
