"""Opening an index by its address."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote

from rag.core.errors import IndexProblem, did_you_mean
from rag.core.our_plugins import where_it_is
from retrievers.index import INDEXES, SERVERS
from retrievers.index.generations import CURRENT
from retrievers.index_protocol import Index

if TYPE_CHECKING:
    from retrievers.index.built import IndexServer
    from retrievers.index.directory import LocalIndex
    from retrievers.legs.dense.search import LegEncoder

    _keeps_the_protocol: Callable[[str], Index] = LocalIndex.open

_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)://")


def open_index(address: str | Path) -> Index:
    """The index at an address: a directory, or SCHEME://... with a scheme of the tables `INDEXES` and `SERVERS`.

    Raises:
        IndexProblem: no such scheme; or the index is absent, damaged or of a newer format.
    """
    name = scheme_of(address) or "local"
    if name in INDEXES:
        index: Index = INDEXES.get(name).open(address)
        return index
    server = server_of(address)
    if server is None:
        hint = where_it_is(f"server.{name}") or (
            f"{did_you_mean(name, [*INDEXES, *SERVERS])} Give a directory, or load the module that adds this kind"
        )
        raise IndexProblem(f"index '{address}': there is no kind of index '{name}'. {hint}")
    return server.open(str(address))


def server_of(address: str | Path) -> IndexServer | None:
    """The server whose scheme an address has; None where nobody here serves it."""
    scheme = scheme_of(address)
    if scheme is None or scheme not in SERVERS:
        return None
    server: IndexServer = SERVERS.get(scheme)()
    return server


def is_index(address: str | Path) -> bool:
    """Whether an index is there: an address with a scheme is taken for one."""
    return scheme_of(address) is not None or (Path(address) / CURRENT).exists()


def scheme_of(address: str | Path) -> str | None:
    """The scheme of an address; None for a directory."""
    scheme = _SCHEME.match(address) if isinstance(address, str) else None
    return scheme[1].lower() if scheme else None


def asks_a_server(address: str | Path) -> bool:
    """Whether opening this address asks another machine, or another process on this one."""
    scheme = scheme_of(address)
    if scheme == "joined":
        return any(map(asks_a_server, (unquote(part) for part in str(address).partition("://")[2].split("|"))))
    server = server_of(address)
    return server is not None and not server.embedded


def encoder_of(index: Index) -> LegEncoder | None:
    """The encoder of an index's dense leg; None where it has no such leg."""
    from retrievers.legs.dense.search import dense  # searches without vectors do without its libraries

    return dense(index).encoder if "dense" in index.legs else None
