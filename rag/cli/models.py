"""`rag models`."""

from __future__ import annotations

from argparse import Namespace
from pathlib import Path
from typing import TYPE_CHECKING, cast

from rag.cli.console import say
from rag.cli.progress import progress_bar
from rag.core.errors import SpecError
from rag.models import list_models, locate, resolve
from rag.pipeline.loaded import Named, models_of_graph

if TYPE_CHECKING:
    from rag.train.distil_static import Numbers


def run(args: Namespace) -> int:
    """List models, fetch them into the cache, or make static vectors of one."""
    if args.action == "distil":
        return _distil(args)
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


def _distil(args: Namespace) -> int:
    from rag.train.distil_static import distil_static

    out = distil_static(
        args.name, Path(args.out), revision=args.revision, dim=args.dim, numbers=cast("Numbers", args.numbers)
    )
    say(f"{out}: static vectors of {args.name}. In a graph: index: {{dense: {{encoder: {out}}}}}")
    return 0
