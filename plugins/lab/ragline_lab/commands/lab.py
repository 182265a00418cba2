"""where a run loses, and what would gain"""

from __future__ import annotations

from argparse import ArgumentParser

from rag.commands import Command, add_commands, positive

ACTIONS = {
    "lost": Command(
        "ragline_lab.commands.lost",
        "A run of `rag eval` -> where each relevant document was lost: legs, fusion, reranking, prompt, citation",
    ),
    "diff": Command(
        "ragline_lab.commands.diff",
        "Two runs over the same queries -> at which node one change gained and lost, query by query",
    ),
    "sweep": Command(
        "ragline_lab.commands.sweep", "Many settings of one graph as one run: the best one, shown on other queries"
    ),
    "gate": Command(
        "ragline_lab.commands.gate", "Checks of measures for continuous integration: exit 1 if one does not pass"
    ),
    "questions": Command(
        "ragline_lab.commands.questions",
        "A test set of one's own corpus: a model asks, what cannot be used is dropped and counted",
    ),
    "verify": Command(
        "ragline_lab.commands.verify",
        "Some queries of a run asked again: is it still what its graph gives, and if not, why",
    ),
    "judge": Command(
        "ragline_lab.commands.judge",
        "Answers judged by a model: nuggets and preference, beside how often that model is right",
    ),
    "robust": Command(
        "ragline_lab.commands.robust",
        "Right, misleading and empty documents: what writers and defences answer from each",
    ),
}
"""In the order of help."""


def options(parser: ArgumentParser) -> None:
    """Every action, as a command below this one."""
    add_commands(parser, ACTIONS, dest="action", required=True, metavar="|".join(ACTIONS))


def judged(sub: ArgumentParser) -> None:
    """Whose judgements count, how far, and where to show it."""
    sub.add_argument("--dataset", required=True, metavar="DIR", help="BEIR-layout folder that the run is of")
    sub.add_argument("--split", default="test")
    sub.add_argument("-k", type=positive, default=10, metavar="N", help="how far a ranking counts (default: 10)")
    sub.add_argument("--queries", type=int, default=3, metavar="N", help="queries to show, those with most first (3)")
    sub.add_argument("--out", metavar="DIR", help="folder to write a page into")
    sub.add_argument("--json", action="store_true", help="print one JSON document")


def model_of(sub: ArgumentParser, option: str, what: str) -> None:
    """The model of an experiment, and the server that has it."""
    llm_help = "packaged name, folder, hub id, .gguf; or GRAPH#MODEL, a model as a graph has it"
    sub.add_argument(option, metavar="M", help=f"{what}: {llm_help}; with --url, its name there")
    sub.add_argument("--url", metavar="URL", help="OpenAI-compatible server whose /v1 begins there")
