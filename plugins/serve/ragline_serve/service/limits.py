"""How much one caller may ask: requests per minute, and bytes of a request, whose memory is given back afterwards.

It knows no routes and no keys.
"""

from __future__ import annotations

import asyncio
import ctypes
import math
import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from contextlib import suppress
from ipaddress import IPv6Address, ip_address

from starlette.types import Message, Receive

from ragline_serve.service.unavailable import ClientGone

_WORTH = 64 * 2**20
"""Bytes of requests after which it is done: some ten milliseconds in which nothing else is done."""
_AFTER_S = 1.0
"""Later than the last of a burst, and late enough for whoever still looks at a request that has failed."""


class TooLarge(Exception):
    """A request has more bytes than allowed."""


class TooSlow(Exception):
    """A request's body did not arrive in time."""


class NoRoom(Exception):
    """The requests that are here already hold all the memory that requests may hold."""


class Held:
    """Bytes of requests, from their arrival to their answer, and how many there may be. Use it from one event loop."""

    def __init__(self, most: int) -> None:
        self._left = most

    def take(self, n_bytes: int) -> None:
        """Raise NoRoom if so many more are too many; else they count."""
        if n_bytes > self._left:
            raise NoRoom
        self._left -= n_bytes

    def give_back(self, n_bytes: int) -> None:
        self._left += n_bytes


class RequestRate:
    """How often each caller may ask: `per_minute` requests evenly, or as many at once after a pause of a minute.

    The generic cell rate algorithm (ITU-T I.371): one number per caller, the time at which all it asked so far would be
    paid off. Who has paid needs no entry, so forgetting the one that asked longest ago costs little. Threads may share it.

    Args:
        per_minute: requests, at least 1.
        max_callers: callers remembered.
        clock: seconds that never run backwards.
    """

    def __init__(
        self, *, per_minute: int, max_callers: int = 10_000, clock: Callable[[], float] = time.monotonic
    ) -> None:
        if per_minute < 1 or max_callers < 1:
            raise ValueError(f"per_minute and max_callers must be at least 1, got {per_minute} and {max_callers}")
        self._interval_s, self._max_callers, self._clock = 60.0 / per_minute, max_callers, clock
        self._paid_at: OrderedDict[str, float] = OrderedDict()
        self._lock = threading.Lock()

    def wait_s(self, caller: str) -> int:
        """0 if the caller may ask now, which counts as asked; else whole seconds until it may, at least 1."""
        with self._lock:
            now = self._clock()
            paid_at = max(now, self._paid_at.get(caller, now)) + self._interval_s
            over_s = paid_at - now - 60.0
            if over_s > 1e-6:  # sixty intervals may add up to a little more than a minute
                return math.ceil(over_s)
            self._paid_at[caller] = paid_at
            self._paid_at.move_to_end(caller)
            if len(self._paid_at) > self._max_callers:
                self._paid_at.popitem(last=False)
            return 0


def address_of(client: tuple[str, int] | None) -> str:
    """Who a caller without a key is: its address, or the /64 network that an IPv6 address lies in.

    All that is no address is one caller: a proxy may pass on what a client says of itself, and that could be new each time.

    >>> address_of(("2001:db8::1:2:3:4", 5)), address_of(("192.0.2.7", 5)), address_of(("made up", 5))
    ('2001:db8::/64', '192.0.2.7', '')
    """
    host = client[0] if client else ""
    try:
        address = ip_address(host)
    except ValueError:
        return ""
    if not isinstance(address, IPv6Address) or address.ipv4_mapped:
        return str(getattr(address, "ipv4_mapped", None) or address)
    return f"{IPv6Address(int(address) >> 64 << 64)}/64"


async def whole_body(
    receive: Receive,
    *,
    declared: bytes | None,
    max_bytes: int,
    timeout_s: float,
    take: Callable[[int], None] = lambda n_bytes: None,
) -> Receive:
    """Read a request's body, then give a `receive` that tells it in one piece and goes on with what the client does next.

    Bytes are counted as they come, so a body without a length, or with a false one, is cut off just the same.

    Args:
        declared: the content-length header.
        take: is told the bytes of each piece that came; what it raises ends the reading.
    Raises:
        TooLarge: at once if the header says so, else as soon as more than `max_bytes` came.
        TooSlow: the body is not there after `timeout_s`.
        ClientGone: the client left.
    """
    if declared is not None and declared.isdigit() and (len(declared) > 18 or int(declared) > max_bytes):
        raise TooLarge
    try:
        async with asyncio.timeout(timeout_s):
            body = await _read(receive, max_bytes, take)
    except TimeoutError:
        raise TooSlow from None
    is_replayed = False

    async def replay() -> Message:
        nonlocal is_replayed
        if is_replayed:
            return await receive()
        is_replayed = True
        return {"type": "http.request", "body": body, "more_body": False}

    return replay


async def drop_rest(receive: Receive, *, max_bytes: int, timeout_s: float) -> None:
    """Read on and keep nothing, until the body ends or one of the limits is met.

    Many clients read nothing before all is sent: where the connection just ends, they never see why.
    """
    with suppress(TimeoutError):
        async with asyncio.timeout(timeout_s):
            while max_bytes > 0:
                message = await receive()
                if message["type"] != "http.request" or not message.get("more_body", False):
                    return
                max_bytes -= len(message.get("body", b""))


class Freed:
    """Counts the bytes of requests that ended, and has the allocator give back what it keeps of many of them.

    It keeps pieces of bodies for later ones, for good, where anything small was put behind them. Use it from one event loop.
    """

    def __init__(self) -> None:
        self._trim, self._n_bytes = _trimmer(), 0
        self._planned: asyncio.TimerHandle | None = None

    def add(self, n_bytes: int) -> None:
        self._n_bytes += n_bytes
        if self._trim is not None and self._planned is None and self._n_bytes >= _WORTH:
            self._planned = asyncio.get_running_loop().call_later(_AFTER_S, self._give_back, self._trim)

    def _give_back(self, trim: Callable[[int], int]) -> None:
        self._planned, self._n_bytes = None, 0
        trim(0)


async def _read(receive: Receive, max_bytes: int, take: Callable[[int], None]) -> bytes:
    parts: list[bytes] = []
    left = max_bytes
    while True:
        message = await receive()
        if message["type"] != "http.request":
            raise ClientGone
        parts.append(message.get("body", b""))
        left -= len(parts[-1])
        if left < 0:
            raise TooLarge
        take(len(parts[-1]))
        if not message.get("more_body", False):
            return b"".join(parts)


def _trimmer() -> Callable[[int], int] | None:
    """glibc's malloc_trim; another C library has none, and most of those give memory back by themselves."""
    try:
        trim = ctypes.CDLL(None).malloc_trim
    except (AttributeError, OSError):
        return None
    trim.argtypes, trim.restype = [ctypes.c_size_t], ctypes.c_int
    return lambda keep: int(trim(keep))
