"""The command line of `rag lab`: a function for each of its actions, each with a module `rag.cli.lab_ACTION`."""

from __future__ import annotations

from argparse import ArgumentParser
from collections.abc import Callable
from typing import Any

from rag.cli.options import GRAPH_HELP, add_plugins, positive


def _lost(lost: ArgumentParser) -> None:
    """A run of `rag eval` -> where each relevant document was lost: legs, fusion, reranking, prompt, citation."""
    lost.add_argument("run", metavar="RUN", help="folder of `rag eval`")
    _judged(lost)


def _diff(diff: ArgumentParser) -> None:
    """Two runs over the same queries -> at which node one change gained and lost, query by query."""
    diff.add_argument("before", metavar="A", help="folder of `rag eval`")
    diff.add_argument("after", metavar="B", help="the same after a change")
    _judged(diff)
    diff.add_argument("--common", action="store_true", help="over the queries that both have")


def _judged(action: ArgumentParser) -> None:
    """Whose judgements count, how far, and where to show it."""
    action.add_argument("--dataset", required=True, metavar="DIR", help="BEIR-layout folder that the run is of")
    action.add_argument("--split", default="test")
    action.add_argument("-k", type=positive, default=10, metavar="N", help="how far a ranking counts (default: 10)")
    action.add_argument(
        "--queries", type=int, default=3, metavar="N", help="queries to show, those with most first (3)"
    )
    action.add_argument("--out", metavar="DIR", help="folder to write a page into")
    action.add_argument("--json", action="store_true", help="print one JSON document")


def _sweep(sub: ArgumentParser) -> None:
    """Many settings of one graph as one run: the best one, shown on other queries."""
    sub.add_argument("graph", metavar="GRAPH", help=GRAPH_HELP)
    sub.add_argument("--dataset", required=True, metavar="DIR", help="BEIR-layout folder with judgements")
    over_help = "NODE.PARAMETER=LOW:HIGH:STEP, or =A,B,C, or =JSON; again: all combinations"
    sub.add_argument("--over", action="append", required=True, metavar="PATH=VALUES", help=over_help)
    sub.add_argument("--measures", help="in one string; settings are chosen by the first (default: as `rag eval`)")
    sub.add_argument("--split", default="test", help="whose queries are divided, or reported on (default: test)")
    tuning = sub.add_mutually_exclusive_group()
    tune_help = "of the queries, those that settings are chosen by, told by their ids (0.5)"
    tuning.add_argument("--tune", type=float, default=0.5, metavar="SHARE", help=tune_help)
    tuning.add_argument("--tune-split", metavar="S", help="choose settings by the queries of this split instead")
    halve_help = "begin on few queries, keep the better half at each doubling; can lose the best setting"
    sub.add_argument("--halve", action="store_true", help=halve_help)
    sub.add_argument("--within", metavar="FIELD", help="a query searches only documents that share its FIELD")
    sub.add_argument("--out", required=True, metavar="DIR", help="folder to write, and to go on in")
    sub.add_argument("--json", action="store_true", help="print one JSON document")
    add_plugins(sub)


def _gate(sub: ArgumentParser) -> None:
    """Checks of measures for continuous integration: exit 1 if one does not pass."""
    sub.add_argument("--suite", required=True, metavar="F.yaml", help="data sets, graphs and what they have to reach")
    sub.add_argument("--junit", metavar="F.xml", help="JUnit report to write")
    sub.add_argument("--markdown", metavar="F.md", help="Markdown report to write")
    sub.add_argument("--out", metavar="DIR", help="keep the run folders of all checks there (default: none is kept)")
    accept_help = "take changed data as what is checked from now on"
    sub.add_argument("--accept", action="store_true", help=accept_help)
    sub.add_argument("--json", action="store_true", help="print one JSON document")
    add_plugins(sub)


def _questions(sub: ArgumentParser) -> None:
    """A test set of one's own corpus: a model asks, what cannot be used is dropped and counted."""
    sub.add_argument("--index", required=True, metavar="DIR", help="the index that questions are asked about")
    _asked(sub, "--model", "the model that writes questions")
    sub.add_argument("--n", type=positive, default=100, metavar="N", help="questions wanted (default: 100)")
    sub.add_argument("--out", required=True, metavar="FOLDER", help="BEIR-layout folder to write, and to go on in")
    depth_help = "a passage that no leg finds within so many hits gives no question (50)"
    sub.add_argument("--depth", type=positive, default=50, metavar="N", help=depth_help)
    check_help = "the model must also answer each question from its passage as it did when it wrote it"
    sub.add_argument("--answerable-check", action="store_true", help=check_help)
    other_help = "also questions without an answer: of another index, a BEIR-layout folder or a qa.jsonl"
    sub.add_argument("--unanswerable-from", metavar="OTHER", help=other_help)
    sub.add_argument("--unanswerable", type=positive, metavar="N", help="how many of those (half of --n)")
    corpus_help = "BEIR-layout folder that the index was made of: linked, and its documents judged, not passages"
    sub.add_argument("--corpus", metavar="DIR", help=corpus_help)
    sub.add_argument("--seed", type=int, default=0, help="of the draw of passages")
    sub.add_argument("--json", action="store_true", help="print one JSON document")
    add_plugins(sub)


def _verify(sub: ArgumentParser) -> None:
    """Some queries of a run asked again: is it still what its graph gives, and if not, why."""
    sub.add_argument("run", metavar="RUN", help="folder of `rag eval` or `rag batch`")
    dataset_help = "BEIR-layout folder that a run of `rag eval` is of, or that one of `rag batch` is measured by"
    sub.add_argument("--dataset", metavar="DIR", help=dataset_help)
    sub.add_argument("--split", metavar="S", help="of the data set (default: the run's)")
    sub.add_argument("--within", metavar="FIELD", help="a query searches only documents that share its FIELD")
    sub.add_argument("--graph", metavar="G", help=f"ask this one in place of the run's: {GRAPH_HELP}")
    sub.add_argument("--index", metavar="DIR", help="where the index of a run of `rag batch` lies now")
    sub.add_argument("-n", type=positive, default=50, metavar="N", help="queries to ask, chosen by their ids (50)")
    tolerance_help = "scores are equal that differ by at most this share of a ranking's largest (0.0001)"
    sub.add_argument("--tolerance", type=float, default=1e-4, metavar="X", help=tolerance_help)
    sub.add_argument("--queries", type=int, default=3, metavar="N", help="queries to show, of those that differ (3)")
    sub.add_argument("--json", action="store_true", help="print one JSON document")
    add_plugins(sub)


def _judge(sub: ArgumentParser) -> None:
    """Answers judged by a model: nuggets and preference, beside how often that model is right."""
    sub.add_argument("run", nargs="?", metavar="RUN", help="folder of `rag eval` or `rag batch`, or its answers.jsonl")
    _asked(sub, "--judge", "the model that judges")
    sub.add_argument("--against", metavar="OTHER", help="answers to the same questions: which does the judge prefer?")
    known = sub.add_mutually_exclusive_group()
    known.add_argument("--dataset", metavar="DIR", help="BEIR-layout folder whose reference answers are taken as true")
    known.add_argument("--index", metavar="DIR", help="without references: the index whose passages were read")
    sub.add_argument("--nuggets", type=positive, default=10, metavar="N", help="most nuggets of a question (10)")
    agreement_help = "how often the judge is right: read for a RUN, written with --labels"
    sub.add_argument("--agreement", metavar="F.json", help=agreement_help)
    labels_help = (
        "measure the agreement: a data set with answers, and wrong answers or unanswerable questions; again: more"
    )
    sub.add_argument("--labels", action="append", default=[], metavar="DIR", help=labels_help)
    sub.add_argument("--limit", type=positive, metavar="N", help="questions at most; of each data set of --labels")
    sub.add_argument("--common", action="store_true", help="judge the questions that both have")
    sub.add_argument("--queries", type=int, default=3, metavar="N", help="queries to show, those that differ most (3)")
    sub.add_argument("--out", metavar="DIR", help="folder to write, and to go on in; wanted for a RUN")
    sub.add_argument("--json", action="store_true", help="print one JSON document")
    add_plugins(sub)


def _robust(sub: ArgumentParser) -> None:
    """Right, misleading and empty documents: what writers and defences answer from each."""
    set_help = "JSONL: question, answers, wrong_answers, and documents, each with its kind"
    sub.add_argument("--set", dest="questions", required=True, metavar="F.jsonl", help=set_help)
    model_help = "a model, with the built-in ways to answer; packaged name, folder, hub id, .gguf; again: another"
    sub.add_argument("--model", action="append", default=[], metavar="NAME", help=model_help)
    engine_help = "what runs them (default: llama_cpp for a .gguf, else transformers)"
    sub.add_argument("--engine", choices=("transformers", "llama_cpp", "vllm_offline"), help=engine_help)
    ways_help = "only these built-in ways; one string, the undefended one is `cited` (default: all of them)"
    sub.add_argument("--ways", metavar="WAYS", help=ways_help)
    sub.add_argument("--search", default="dense", metavar="G", help="graph that orders the documents (dense)")
    graph_help = "a way of your own: a graph that answers; again: another"
    sub.add_argument("--graph", action="append", default=[], metavar="NAME=FILE", help=graph_help)
    sub.add_argument("--baseline", metavar="NAME", help="the undefended way of each model (default: cited)")
    sub.add_argument("--limit", type=positive, metavar="N", help="only N questions, chosen by their ids")
    sub.add_argument("--language", default="en", metavar="CODE", help="ISO 639-1 language of answers (en)")
    sub.add_argument("--out", required=True, metavar="DIR", help="folder to write, and to go on in")
    sub.add_argument("--json", action="store_true", help="print one JSON document")
    add_plugins(sub)


def _asked(sub: ArgumentParser, option: str, what: str) -> None:
    """The model of an experiment, and the server that has it."""
    llm_help = "packaged name, folder, hub id, .gguf; or GRAPH#MODEL, a model as a graph has it"
    sub.add_argument(option, metavar="M", help=f"{what}: {llm_help}; with --url, its name there")
    sub.add_argument("--url", metavar="URL", help="OpenAI-compatible server whose /v1 begins there")


ACTIONS: dict[str, Callable[[ArgumentParser], None]] = {
    "lost": _lost,
    "diff": _diff,
    "sweep": _sweep,
    "gate": _gate,
    "questions": _questions,
    "judge": _judge,
    "verify": _verify,
    "robust": _robust,
}
"""By name, in the order of help: what adds an action's options. The first line of its docstring is the help."""


def add_actions(lab: ArgumentParser) -> None:
    """Every action of `ACTIONS`, as a command below `rag lab`."""
    actions: Any = lab.add_subparsers(dest="action", required=True, metavar="|".join(ACTIONS))
    for name, add_options in ACTIONS.items():
        help = (add_options.__doc__ or "").partition("\n")[0].rstrip(".")
        sub = actions.add_parser(name, help=help, description=help)
        sub.set_defaults(module=f"lab_{name}")
        add_options(sub)
