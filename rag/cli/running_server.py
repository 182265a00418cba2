"""Asking a `rag serve` of the same index and graph that runs already, so that nothing is loaded here.

Imports little: what this saves is the time that imports take.
"""

from __future__ import annotations

import json
import os
import socket
from argparse import Namespace
from collections.abc import Iterator, Mapping
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rag.core.errors import RagError
from rag.core.run_folder import graph_key, socket_of
from retrievers.index.generations import newest_stamp

if TYPE_CHECKING:
    from rag.pipeline import Pipeline

ACCEPTS_S = 2.0
"""Seconds in which a server says whether it takes a question; after that the work is done here."""
_LONGEST_LINE = 64 * 2**20


class FailedThere(RagError):
    """What the server could not do, in its words and with its exit code."""

    def __init__(self, message: str, exit_code: int) -> None:
        self.exit_code = exit_code
        super().__init__(message)


def answers(given: Namespace, wanted: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """What the command is told: by a server that has the same graph and generation of the index, else by the work itself.

    Raises:
        RagError: it cannot be done.
    """
    connection = None if given.no_server else _accepted(given, wanted)
    if connection is not None:
        return _lines(connection)
    return _worked(given, wanted)


def loaded_pipeline(given: Namespace) -> Pipeline:
    """The pipeline that a command asks for by its options.

    Raises:
        RagError: it cannot be had.
    """
    from rag.pipeline import load_pipeline

    return load_pipeline(
        given.graph,
        index=given.index,
        model=given.model,
        url=given.url,
        calibration=given.calibration,
        risk=given.risk,
        confidence=given.confidence,
        min_relevance=given.min_relevance,
        offline=given.offline,
        patience=given.patience,
    )


def _worked(given: Namespace, wanted: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    from rag.core.access import read_asker
    from rag.core.contents import read_content
    from rag.pipeline.plain_results import Wanted, told

    if wanted["command"] == "ask" and not wanted["whole"]:
        yield {"opening": True}  # it takes seconds until there is more to tell
    with loaded_pipeline(given) as pipeline:
        asker = {"asker": read_asker(wanted["asker"])} if "asker" in wanted else {}
        contents = tuple(map(read_content, wanted.get("contents", ())))
        yield from told(pipeline, Wanted(**{**wanted, **asker, "contents": contents}))


def _accepted(given: Namespace, wanted: Mapping[str, Any]) -> socket.socket | None:
    """A connection to a server that answers this; None where there is none, or it has another graph or generation."""
    if given.index is None or given.plugin or given.trace or given.offline or given.calibration or given.min_relevance:
        return None
    try:
        place = socket_of(os.path.realpath(given.index))
        if place is None or not place.is_socket():
            return None
        same = {
            "graph": graph_key(given.graph, model=given.model, url=given.url, patience=given.patience),
            "generation": newest_stamp(Path(given.index)),
        }
    except (OSError, RagError):
        return None  # whatever is wrong is said where the work is done
    connection = socket.socket(socket.AF_UNIX)
    try:
        connection.settimeout(ACCEPTS_S)
        connection.connect(str(place))
        connection.sendall(json.dumps({**same, "wanted": wanted}).encode() + b"\n")
        if connection.recv(1) == b"+":
            connection.settimeout(None)
            return connection
    except OSError:
        pass
    connection.close()
    return None


def _lines(connection: socket.socket) -> Iterator[Mapping[str, Any]]:
    with closing(connection), connection.makefile("rb") as stream:
        while line := stream.readline(_LONGEST_LINE):
            event = json.loads(line)
            if "error" in event:
                raise FailedThere(event["error"], event["exit_code"])
            yield event
            if "document" in event:
                return
    raise FailedThere("the server that was asked ended before its answer was whole; ask again", RagError.exit_code)
