"""HTTP to one server: a bound on requests in flight, retries where they can help, and errors in words.

Tried again, with growing pauses: refused and broken connections, 408, 429 and 5xx; a Retry-After is kept to. Not tried
again: a server that stays silent, for that would double its load, and a stream that has begun. It knows no models.
"""

from __future__ import annotations

import os
import random
import socket
import threading
import time
import weakref
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from typing import TYPE_CHECKING, Any

from generators.llm import server_errors as errors
from generators.llm.server_keys import is_here, require_allowed
from generators.llm.server_replies import Malformed
from rag.core.connecting import require_connections
from rag.core.errors import RagError, SpecError, StageError
from rag.core.stopping import when_unwanted

if TYPE_CHECKING:
    from httpx2 import Client, Response, Timeout

_CONNECT_S = 10.0
_LOOK_S = 10.0
_LONGEST_PAUSE_S = 60.0
_BUSY = (408, 429, 502, 503, 504)  # says nothing against the request


class NotFound(Exception):
    """HTTP 404; the caller knows whether it is a path or a model that is missing."""


class _Again(Exception):
    """An attempt that may go better next time: what to raise if none does, and a pause that the server asked for."""

    def __init__(self, final: Callable[[int], RagError], *, pause_s: float | None = None) -> None:
        self.final, self.pause_s = final, pause_s
        super().__init__()


class ServerClient:
    """Requests to one server. Many threads may use it.

    Args:
        url: where the server's /v1 begins.
        by: the component that asks, for messages.
        api_key_variable: environment variable that holds the key; it is read at each request and kept nowhere. The
            operator must have allowed it for this server (`generators.llm.server_keys`).
        timeout_s: longest silence of the server.
        retries: further attempts after the first.
        max_in_flight: most requests at a time; checks are not counted.
        first_pause_s: length of the first pause between attempts; every further one is twice as long.
    Raises:
        SpecError: the key may not go to this server.
    """

    def __init__(
        self,
        url: str,
        *,
        by: str,
        api_key_variable: str | None,
        timeout_s: float,
        retries: int,
        max_in_flight: int,
        first_pause_s: float = 0.5,
    ) -> None:
        if api_key_variable is not None:
            require_allowed(api_key_variable, url, by=by)
        self.by, self.url = by, url.rstrip("/")
        self.root = self.url.removesuffix("/v1")
        self.api_key_variable, self.timeout_s = api_key_variable, timeout_s
        self.retries, self.first_pause_s = retries, first_pause_s
        self._slots = threading.BoundedSemaphore(max_in_flight)
        self._max_in_flight = max_in_flight
        self._lock = threading.Lock()
        self._client: Client | None = None

    def look(self, path: str) -> Any:
        """The JSON that a path of /v1 gives, for checks: asked once, beside the requests in flight, and soon given up."""
        soon_s = min(_LOOK_S, self.timeout_s)
        silent = StageError(
            f"{self.by}: {self.url} takes connections, but was silent for {soon_s:g} s when asked for {path}"
        )
        return self._try(lambda: self._once("GET", self.url + path, None, soon_s, silent), retries=0)

    def post(self, path: str, body: dict[str, Any], *, from_root: bool = False) -> Any:
        """The JSON that the server replies to a body. `from_root`: the path lies beside /v1."""
        url = (self.root if from_root else self.url) + path

        def once() -> Any:
            with self._slot():
                return self._once(
                    "POST", url, body, self.timeout_s, errors.timed_out(self.url, self.timeout_s, by=self.by)
                )

        return self._try(once)

    def events(self, path: str, body: dict[str, Any]) -> Generator[str, None, None]:
        """The data of server-sent events, up to [DONE]. Closing this closes the connection, which stops the server.

        So does `rag.core.stopping`, also while the server is silent.
        """
        with self._slot():
            response = self._try(lambda: self._open(self.url + path, body))
            try:
                with when_unwanted(partial(_hang_up, response)):
                    yield from self._data(response)
            finally:
                response.close()

    def close(self) -> None:
        """Let go of the connections. The next request makes new ones."""
        with self._lock:
            client, self._client = self._client, None
        if client is not None:
            client.close()

    def shown(self, said: bytes) -> str:
        """What the server said, on one line, cut short, without the key."""
        return errors.shown(said, secret=self._key())

    def _once(self, method: str, url: str, body: dict[str, Any] | None, timeout_s: float, silent: RagError) -> Any:
        headers, timeout = self._headers(), _timeout(timeout_s)
        with _explained(self.url, silent, by=self.by):
            response = self._http.request(method, url, json=body, headers=headers, timeout=timeout)
        self._require_good(response)
        try:
            return response.json()
        except ValueError as error:
            raise Malformed(f"{self.by}: {self.url} did not reply in JSON ({self.shown(response.content)})") from error

    def _open(self, url: str, body: dict[str, Any]) -> Response:
        http = self._http
        with _explained(self.url, errors.timed_out(self.url, self.timeout_s, by=self.by), by=self.by):
            response = http.send(http.build_request("POST", url, json=body, headers=self._headers()), stream=True)
            if response.status_code != 200:
                response.read()
        self._require_good(response)
        return response

    def _data(self, response: Response) -> Iterator[str]:
        import httpx2

        try:
            for event in httpx2.EventSource(response):
                if event.data == "[DONE]":
                    return
                yield event.data
        except httpx2.ReadTimeout as error:
            raise errors.timed_out(self.url, self.timeout_s, by=self.by) from error
        except (httpx2.TransportError, httpx2.SSEError) as error:
            raise errors.broke_off(self.url, str(error) or type(error).__name__, by=self.by) from error

    def _try(self, once: Callable[[], Any], retries: int | None = None) -> Any:
        retries = self.retries if retries is None else retries
        for attempt in range(retries + 1):
            try:
                return once()
            except _Again as trouble:
                if attempt == retries:
                    raise trouble.final(attempt + 1) from trouble.__cause__
                pause_s = trouble.pause_s
                if pause_s is None:  # spread out, so that those refused together do not come back together
                    pause_s = self.first_pause_s * 2**attempt * random.uniform(0.5, 1.0)
            time.sleep(min(pause_s, _LONGEST_PAUSE_S))
        raise AssertionError("unreachable")

    def _require_good(self, response: Response) -> None:
        status = response.status_code
        if status == 200:
            return
        said = self.shown(response.content)
        if status == 404:
            raise NotFound(said)
        if status in _BUSY:
            pause_s = _seconds(response.headers.get("retry-after"))
            raise _Again(lambda tries: errors.unavailable(self.url, status, said, tries, by=self.by), pause_s=pause_s)
        if status >= 500:
            raise _Again(lambda tries: errors.failed(self.url, status, said, tries, by=self.by))
        raise errors.refused(status, said, by=self.by, url=self.url, key_variable=self.api_key_variable)

    @contextmanager
    def _slot(self) -> Iterator[None]:
        if not self._slots.acquire(timeout=self.timeout_s):
            raise StageError(  # of these prompts alone: the requests that are in the way may end after all
                f"{self.by}: {self._max_in_flight} requests are in flight and none ended in {self.timeout_s:g} s. Close "
                "streams that nobody reads, or raise 'max_in_flight'."
            )
        try:
            yield
        finally:
            self._slots.release()

    def _key(self) -> str:
        return os.environ.get(self.api_key_variable, "") if self.api_key_variable else ""

    def _headers(self) -> dict[str, str]:
        if self.api_key_variable is None:
            return {}
        key = self._key()
        if not key.isascii() or not key.isprintable() or not key.strip():
            raise SpecError(f"{self.by}: the environment variable {self.api_key_variable} holds no key")
        return {"Authorization": f"Bearer {key}"}

    @property
    def _http(self) -> Client:
        import httpx2

        require_connections(self.url, by=self.by)
        with self._lock:
            if self._client is None:
                self._client = httpx2.Client(
                    follow_redirects=False,  # a key stays with the server that it was allowed for
                    timeout=_timeout(self.timeout_s),
                    limits=httpx2.Limits(max_connections=None),  # the slots bound them
                    trust_env=not is_here(self.url),  # a proxy has no business with this machine's own server
                )
                weakref.finalize(self, self._client.close)
            return self._client


@contextmanager
def _explained(url: str, silent: RagError, *, by: str) -> Iterator[None]:
    import httpx2

    try:
        yield
    except httpx2.ReadTimeout as error:
        raise silent from error
    except httpx2.TransportError as error:
        cause = str(error) or type(error).__name__
        raise _Again(lambda tries: errors.dead(url, cause, by=by)) from error


def _hang_up(response: Response) -> None:
    """End a connection that another thread reads from, which closing it would leave waiting."""
    connection = response.extensions["network_stream"].get_extra_info("socket")
    if not response.is_closed and connection is not None:
        with suppress(OSError):  # the server was first
            connection.shutdown(socket.SHUT_RDWR)


def _timeout(silence_s: float) -> Timeout:
    import httpx2

    return httpx2.Timeout(silence_s, connect=min(_CONNECT_S, silence_s), pool=None)


def _seconds(retry_after: str | None) -> float | None:
    """A Retry-After in seconds. The form with a date is left to the growing pauses."""
    try:
        seconds = float(retry_after or "")
    except ValueError:
        return None
    return seconds if 0 <= seconds < float("inf") else None
