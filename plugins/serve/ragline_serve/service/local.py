"""The user's own way in: a Unix socket on which `rag search` and `rag ask` find the server of an index.

No key is asked for: the socket lies in a folder that only its user may enter. A question is one line of JSON; `+` says that
it is taken, `-` that the command has to do the work itself.
"""

from __future__ import annotations

import errno
import json
import logging
import os
import socket
import threading
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, suppress
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError

from rag import Pipeline
from rag.doors import Wanted, graph_key, socket_of
from rag.doors import reply_events as told
from rag.errors import RagError
from rag.indexes import HasGenerations
from rag.protocols import Closable

logger = logging.getLogger(__name__)

AT_ONCE = 4
"""Questions answered at a time; further commands do their work themselves."""
LONGEST_LINE = 4 * 2**20
HEARS_S = 10.0
"""Seconds in which a question has to come, and a piece of a reply has to be taken."""

Use = Callable[[], AbstractContextManager[Mapping[str, Pipeline]]]

_WANTED = TypeAdapter(Wanted)


class LocalDoor:
    """Listens for commands of the same user, each question in a thread of its own.

    Args:
        address: the absolute path of the index.
        graphs: the graph of each model, as `rag` was given it.
        use: the pipelines by model, held as long as a question is answered.
        key: what a command calls a graph that is loaded as these are.
    """

    def __init__(
        self, address: str, graphs: Mapping[str, str], use: Use, *, key: Callable[[str], str] = graph_key
    ) -> None:
        self._graphs, self._use, self._key = {key(graph): model for model, graph in graphs.items()}, use, key
        self._keys = {key: graphs[model] for key, model in self._graphs.items()}
        self._free = threading.BoundedSemaphore(AT_ONCE)
        self.path = socket_of(address)
        self._listener: socket.socket | None = None

    def __enter__(self) -> LocalDoor:
        """Listen, unless another server of this index does, or no folder can be trusted."""
        if self.path is None:
            logger.warning("no folder for sockets that only this user may enter: commands will not find this server")
        elif (listener := _listener(self.path)) is not None:
            self._listener = listener
            threading.Thread(target=self._listen, args=(listener,), name="local-door", daemon=True).start()
        return self

    def __exit__(self, *error: object) -> None:
        if self._listener is not None and self.path is not None:
            self.path.unlink(missing_ok=True)
            with suppress(OSError):
                self._listener.shutdown(socket.SHUT_RDWR)  # else `accept` waits on
            self._listener.close()

    def _listen(self, listener: socket.socket) -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError as error:
                if error.errno in (errno.EMFILE, errno.ENFILE):
                    threading.Event().wait(1.0)
                    continue
                return  # closed
            if self._free.acquire(blocking=False):
                threading.Thread(target=self._serve, args=(connection,), name="local-ask", daemon=True).start()
            else:
                with suppress(OSError), connection:
                    connection.setblocking(False)
                    connection.send(b"-")

    def _serve(self, connection: socket.socket) -> None:
        try:
            connection.settimeout(HEARS_S)
            with connection, connection.makefile("rb") as stream:
                self._answer(connection, stream.readline(LONGEST_LINE))
        except OSError:
            pass  # the command has gone
        except Exception as error:
            logger.error("a question on the socket failed where nothing should: %s", type(error).__name__)
        finally:
            self._free.release()

    def _answer(self, connection: socket.socket, line: bytes) -> None:
        with self._use() as pipelines:
            request = _read(line)
            pipeline = None if request is None else self._same(request, pipelines)
            if request is None or pipeline is None:
                connection.sendall(b"-")
                return
            connection.sendall(b"+")
            events = told(pipeline, request["wanted"])
            try:
                for event in events:
                    connection.sendall(json.dumps(event).encode("ascii") + b"\n")
            except RagError as error:
                connection.sendall(json.dumps({"error": str(error), "exit_code": error.exit_code}).encode() + b"\n")
            finally:
                if isinstance(events, Closable):
                    events.close()

    def _same(self, request: Mapping[str, Any], pipelines: Mapping[str, Pipeline]) -> Pipeline | None:
        """The pipeline that answers as the command itself would: the same graph, its file unchanged, the same generation."""
        model = self._graphs.get(request["graph"])
        if model is None or self._key(self._keys[request["graph"]]) != request["graph"]:
            return None
        pipeline, index = pipelines[model], pipelines[model].index
        if index is None or not isinstance(index, HasGenerations) or index.generation != request["generation"]:
            return None
        # What else the graph names may have changed since it was read.
        facts = pipeline.graph.facts.values()
        own_files = any(each.files or any(Path(name).suffix for name in each.prompts) for each in facts)
        return None if own_files else pipeline


def _read(line: bytes) -> dict[str, Any] | None:
    """A question; None for what is none."""
    try:
        request = json.loads(line)
        graph, generation = request["graph"], request["generation"]
        if not (isinstance(graph, str) and isinstance(generation, str)):
            return None
        return {"graph": graph, "generation": generation, "wanted": _WANTED.validate_python(request["wanted"])}
    except (ValueError, KeyError, TypeError, RecursionError, ValidationError, RagError):
        return None


def _listener(path: Path) -> socket.socket | None:
    """A socket that listens there; one that a killed server left is removed. None where a living server listens."""
    with socket.socket(socket.AF_UNIX) as trying:
        trying.settimeout(1.0)
        try:
            trying.connect(str(path))
        except (FileNotFoundError, ConnectionRefusedError):
            path.unlink(missing_ok=True)
        except OSError as error:
            logger.warning("'%s' cannot be used (%s): commands will not find this server", path, error.strerror)
            return None
        else:
            return None
    listener = socket.socket(socket.AF_UNIX)
    try:
        listener.bind(str(path))
        os.chmod(path, 0o600)
        listener.listen(AT_ONCE)
    except OSError as error:
        listener.close()
        logger.warning("'%s' cannot be listened at (%s): commands will not find this server", path, error.strerror)
        return None
    return listener
