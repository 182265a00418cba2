"""search and answer as tools of the Model Context Protocol"""

from __future__ import annotations

import sys
from argparse import ArgumentParser, Namespace
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager, redirect_stdout
from pathlib import Path
from typing import TYPE_CHECKING

from rag import Pipeline, load_pipeline
from rag.commands import GRAPH_HELP, asker_of, indexed, logged, patient, permitted, running, warn, written
from rag.errors import SpecError, need
from ragline_serve.commands.listening import FOLLOW_S, INSTALL, address, listen, names, walled, warn_if_open

if TYPE_CHECKING:
    from rag.files import QuestionLog
    from rag.indexes import Index
    from ragline_serve.service.generations import Current
    from ragline_serve.service.settings import ServeSettings


def options(parser: ArgumentParser) -> None:
    parser.add_argument("--graph", default="ask", metavar="G", help=GRAPH_HELP)
    indexed(parser, needed=False, several=True)
    written(parser)
    patient(parser)
    permitted(parser, "who asks on stdin, where documents say who may read them")
    parser.add_argument("--http", action="store_true", help="streamable HTTP instead of stdin and stdout")
    parser.add_argument("--host", default="127.0.0.1", help="address to listen at, with --http (default: 127.0.0.1)")
    parser.add_argument(
        "--port", type=int, default=8765, help="port to listen at, with --http; 0: a free one (default: 8765)"
    )
    parser.add_argument("--keys", type=Path, metavar="FILE", help="keys that may ask, with --http; or in RAGLINE_KEYS")
    logged(parser)
    walled(parser)
    running(parser)


def run(args: Namespace) -> int:
    """Serve until the client goes away (stdio) or Ctrl-C (HTTP). Whatever is not the protocol goes to stderr."""
    for module in ("mcp", "fastapi", "uvicorn"):
        need(module, by="rag mcp", line=INSTALL)
    from rag.files import QuestionLog
    from ragline_serve.mcp.server import create_server

    asker = asker_of(args.asker)
    if args.http and asker is not None:
        raise SpecError("rag mcp: --as is for stdin; over HTTP the key says who asks, or --asker-header")

    with redirect_stdout(sys.stderr):  # stdio's transport guards stdout itself, but only once it runs
        pipeline = load_pipeline(
            args.graph,
            index=args.index,
            model=args.model,
            url=args.url,
            offline=args.offline,
            patience=args.patience,
        )
    with pipeline, following(pipeline) as current, ExitStack() as stack:
        log = None if args.log is None else stack.enter_context(closing(QuestionLog(Path(args.log))))
        if args.http:
            _serve_http(current, args, log)
        else:
            create_server(current, settings(args), asker=asker, log=log).run("stdio")
    return 0


@contextmanager
def following(pipeline: Pipeline) -> Iterator[Current[Pipeline]]:
    """The pipeline, and in its place one over each newer generation of its index that comes within the block."""
    from rag.doors import successor
    from ragline_serve.service.generations import Current, Follower

    current = Current(pipeline)

    def take(index: Index, close: Callable[[], None]) -> None:
        current.replace(successor(current.now, index), close=close)

    if pipeline.index is None:
        yield current
        return
    follower = Follower(pipeline.index, take, every_s=FOLLOW_S)
    follower.start()
    try:
        yield current
    finally:
        follower.stop()


def _serve_http(current: Current[Pipeline], args: Namespace, log: QuestionLog | None) -> None:
    from ragline_serve.mcp.http import create_http_app
    from ragline_serve.service.keys import load_keys
    from ragline_serve.service.running import BoundedServer

    keys, walls = load_keys(args.keys), settings(args)
    with closing(listen(args.host, args.port)) as listener:
        current.now.warm_up()
        warn_if_open(args.host, len(keys))
        warn(f"rag: tools at {address(listener)}/mcp (Ctrl-C ends this)")
        app = create_http_app(current, host=args.host, keys=keys, settings=walls, log=log)
        BoundedServer(app, walls).run(sockets=[listener])


def settings(args: Namespace) -> ServeSettings:
    """The command line as the settings of the tools, and of the walls in front of them."""
    from ragline_serve.service.settings import ServeSettings

    return ServeSettings(
        model=Path(args.graph).stem,
        requests_per_minute=args.rate or None,
        max_connections=args.connections,
        asker_header=args.asker_header,
        origins=tuple(args.origin),
        hosts=names(args.host, args.origin),
    )
