"""chat, search, reranking and embeddings over HTTP, with a page to ask in"""

from __future__ import annotations

import os
from argparse import ArgumentParser, Namespace
from collections.abc import Mapping, Sequence
from contextlib import ExitStack, suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from rag import Pipeline, load_pipeline
from rag.commands import GRAPH_HELP, indexed, logged, patient, positive, running, warn, written
from rag.doors import graph_key, require_room_together
from rag.errors import SpecError, need
from rag.indexes import open_index
from ragline_serve.commands.listening import FOLLOW_S, INSTALL, address, listen, names, walled, warn_if_open

if TYPE_CHECKING:
    from ragline_serve.service.settings import ServeSettings


def options(parser: ArgumentParser) -> None:
    parser.add_argument(
        "--graph", action="append", metavar="G", help=f"{GRAPH_HELP} (default: chat); again: another model"
    )
    indexed(parser, needed=False, several=True)
    written(parser)
    patient(parser)
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (default: this machine alone)")
    parser.add_argument("--port", type=int, default=8000, help="0 takes a free one (default: 8000)")
    parser.add_argument(
        "--name",
        action="append",
        default=[],
        metavar="NAME",
        help="what clients call a model (default: its graph's name)",
    )
    parser.add_argument("--allow-system", action="store_true", help="put system messages above the graph's prompt")
    parser.add_argument("--batch", type=positive, default=32, metavar="N", help="requests in a batch (default: 32)")
    parser.add_argument("--streams", type=positive, default=16, metavar="N", help="answers streamed at a time (16)")
    parser.add_argument(
        "--waiting", type=positive, default=64, metavar="N", help="requests that may wait; else 429 (64)"
    )
    parser.add_argument("--max-tokens", type=positive, metavar="N", help="most tokens asked for (default: the graph's)")
    parser.add_argument(
        "--keys", type=Path, metavar="FILE", help="keys that may ask, of `rag keys`; or in RAGLINE_KEYS"
    )
    parser.add_argument("--uploads", type=Path, metavar="FOLDER", help="take files for the index, and keep them there")
    parser.add_argument("--sessions", type=Path, metavar="FILE", help="keep conversations there; unset keeps none")
    logged(parser)
    walled(parser)
    running(parser)


def run(args: Namespace) -> int:
    """Serve graphs over HTTP until Ctrl-C."""
    for module in ("fastapi", "uvicorn"):
        need(module, by="rag serve", line=INSTALL)
    from ragline_serve.http.app import create_app
    from ragline_serve.service.local import LocalDoor
    from ragline_serve.service.running import BoundedServer

    graphs, limits = graphs_by_name(args.graph or ["chat"], args.name), settings(args)
    with ExitStack() as stack:
        app = create_app(_pipelines(graphs, args, stack), limits)
        if args.index is not None:
            key = partial(graph_key, model=args.model, url=args.url, patience=args.patience)
            door = LocalDoor(os.path.realpath(args.index), graphs, app.state.services.pipelines, key=key)
            stack.enter_context(door)
        with listen(args.host, args.port) as listener:
            warn_if_open(args.host, app.state.n_keys)
            warn(f"rag: serving {', '.join(graphs.values())} at {address(listener)} (Ctrl-C ends it)")
            with suppress(KeyboardInterrupt):  # uvicorn raises it again when all is shut down
                BoundedServer(app, limits).run(sockets=[listener])
    return 0


def graphs_by_name(graphs: Sequence[str], names: Sequence[str]) -> dict[str, str]:
    """What clients call each model -> its graph: the names that are given, in the order of the graphs, else the graphs' own.

    Raises:
        SpecError: there are names, but not one for each; or two graphs would go by the same.
    """
    if names and len(names) != len(graphs):
        raise SpecError(
            f"rag serve: {len(graphs)} graphs, but {len(names)} names; give --name for each, in their order"
        )
    called = list(names) or [Path(graph).stem for graph in graphs]
    if twice := sorted({name for name in called if called.count(name) > 1}):
        raise SpecError(
            f"rag serve: two models would be called '{twice[0]}'; give each a --name, in the order of the graphs"
        )
    return dict(zip(called, graphs, strict=True))


def _pipelines(graphs: Mapping[str, str], args: Namespace, stack: ExitStack) -> dict[str, Pipeline]:
    """A pipeline for each graph, over one index that is opened once."""
    index = None if args.index is None else stack.enter_context(open_index(args.index))
    pipelines = {
        name: stack.enter_context(
            load_pipeline(
                graph,
                index=index,
                model=args.model,
                url=args.url,
                offline=args.offline,
                patience=args.patience,
            )
        )
        for name, graph in graphs.items()
    }
    if len(pipelines) > 1:
        parts = {name: pipeline.graph for name, pipeline in pipelines.items()}
        require_room_together(parts, index=index)
    return pipelines


def settings(args: Namespace) -> ServeSettings:
    from ragline_serve.service.settings import ServeSettings

    return ServeSettings(
        allow_system=args.allow_system,
        keys_file=args.keys,
        sessions_file=args.sessions,
        log_file=args.log,
        uploads=args.uploads,
        requests_per_minute=args.rate or None,
        max_connections=args.connections,
        asker_header=args.asker_header,
        max_batch=args.batch,
        max_streams=args.streams,
        waiting_room=args.waiting,
        max_tokens=args.max_tokens,
        origins=tuple(args.origin),
        hosts=names(args.host, args.origin),
        follow_s=FOLLOW_S,
    )
