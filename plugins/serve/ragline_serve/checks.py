"""What `rag doctor` says of a server: whether one could listen, and which keys it would know."""

from __future__ import annotations

import errno
import os
import socket
from argparse import ArgumentParser, Namespace
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from rag.errors import RagError, SpecError
from ragline_serve.commands.listening import INSTALL, require_port
from ragline_serve.service.keys import VARIABLE, load_keys

PORT = 8000
"""Where `rag serve` listens unless told otherwise."""

_NEEDED = ("fastapi", "mcp", "prometheus-client", "uvicorn")

Finding = tuple[bool | None, str | RagError]


def options(parser: ArgumentParser) -> None:
    parser.add_argument("--port", type=int, metavar="N", help="a server is to listen there: fail if it cannot")
    parser.add_argument("--keys", type=Path, metavar="FILE", help="also look at this file of keys")


def findings(given: Namespace) -> Iterator[Finding]:
    """A line of the libraries, one of the port, and one of the keys."""
    yield _libraries()
    yield _port(given.port)
    yield _keys(given.keys)


def _libraries() -> Finding:
    """Half of an installation is a fault of it, and still no fault of search."""
    missing = []
    for name in _NEEDED:
        try:
            version(name)
        except PackageNotFoundError:
            missing.append(name)
    if missing:
        return None, f"{', '.join(missing)} not installed; rag serve and rag mcp need all. Run: {INSTALL}"
    return True, f"{', '.join(_NEEDED)} are installed: rag serve, rag mcp"


def _port(port: int | None) -> Finding:
    """Whether a server could listen. Where no port is named, one that serves already is no fault."""
    number = PORT if port is None else port
    try:
        require_port(number)
        socket.create_server(("127.0.0.1", number)).close()
    except SpecError as error:
        return False, error
    except OSError as error:
        reason = "another program listens there" if error.errno == errno.EADDRINUSE else str(error.strerror)
        said = f"port {number} is not free: {reason}; choose another with rag serve --port"
        return (None, said) if port is None else (False, SpecError(said))
    return True, f"port {number} is free"


def _keys(file: Path | None) -> Finding:
    """The keys that a server started here would know, and who else could read their file."""
    if file is None and not os.environ.get(VARIABLE):
        return None, "no keys: a server started here is open to all who reach it. Make one: rag keys FILE"
    try:
        n_keys = len(load_keys(file))
    except RagError as error:
        return False, error
    if file is not None and file.stat().st_mode & 0o077:
        return False, SpecError(f"keys: others may read or change {file}. Run: chmod 600 {file}")
    return True, f"keys: a server started here knows {n_keys}"
