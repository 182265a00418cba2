"""Where the commands that serve listen: the socket, the names they go by, and who else could reach them."""

from __future__ import annotations

import socket
from argparse import ArgumentParser
from collections.abc import Sequence
from ipaddress import ip_address
from urllib.parse import urlsplit

from rag.commands import positive, warn
from rag.errors import SpecError

LOOPBACK_NAMES = ("127.0.0.1", "localhost", "[::1]")
INSTALL = "pip install ./plugins/serve"
"""What brings this plug-in whole, from a checkout."""

FOLLOW_S = 1.0
"""Seconds between two looks for a newer generation of the index."""

_LAST_PORT = 65_535


def walled(sub: ArgumentParser) -> None:
    """Who may ask a server over HTTP, how often, and over how many connections."""
    rate_help = "requests a minute of a caller; 0: any (600)"
    sub.add_argument("--rate", type=int, default=600, metavar="N", help=rate_help)
    sub.add_argument("--connections", type=positive, default=512, metavar="N", help="most open connections (512)")
    header_help = "header in which the proxy in front says who asks, as JSON; it must drop what clients send there"
    sub.add_argument("--asker-header", metavar="NAME", help=header_help)
    origin_help = "origin whose pages may ask; behind a proxy, its public one"
    sub.add_argument("--origin", action="append", default=[], metavar="URL", help=origin_help)


def listen(host: str, port: int) -> socket.socket:
    """A socket that listens; port 0 takes a free one.

    Replies leave at once. Without TCP_NODELAY, which connections have from the socket that took them, the body of
    every reply on a kept connection waits for the client to confirm its headers: 40 ms.

    Raises:
        SpecError: there is no such port, the address is not this machine's, or another program listens there.
    """
    require_port(port)
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        listener = socket.create_server((host, port), family=family)
    except (OSError, UnicodeError) as error:  # a name that cannot be a host's is a UnicodeError
        reason = getattr(error, "strerror", None) or type(error).__name__
        raise SpecError(f"cannot listen on {host} port {port}: {reason}. Choose another --port or --host.") from None
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return listener


def require_port(port: int) -> None:
    """Raise SpecError unless there is such a port."""
    if not 0 <= port <= _LAST_PORT:
        raise SpecError(
            f"there is no port {port}: ports are from 0 (any free one) to {_LAST_PORT}. Choose another --port."
        )


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach the address: localhost, ::1, all of 127.0.0.0/8.

    >>> is_loopback("127.0.0.2"), is_loopback("0.0.0.0"), is_loopback("box.example")
    (True, False, False)
    """
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host.lower() == "localhost"


def names(host: str, origins: Sequence[str] = ()) -> tuple[str, ...]:
    """What requests may call the server: on a loopback address its own names and those of the origins, else anything.

    Raises:
        SpecError: an origin is no address.
    """
    others = [_host_of(origin) for origin in origins]
    return (*LOOPBACK_NAMES, _bracketed(host), *others) if is_loopback(host) else ()


def address(listener: socket.socket) -> str:
    """The address of a socket as a browser takes it.

    >>> with listen("127.0.0.1", 0) as listener:
    ...     address(listener).rpartition(":")[0]
    'http://127.0.0.1'
    """
    host, port = listener.getsockname()[:2]
    return f"http://{_bracketed(host)}:{port}"


def warn_if_open(host: str, n_keys: int) -> None:
    """Say so if strangers can reach a server that asks for no key."""
    if not is_loopback(host) and not n_keys:
        warn("rag: without keys, anyone who reaches this address may ask; make one with `rag keys`")


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host else host


def _host_of(origin: str) -> str:
    try:
        host = urlsplit(origin).hostname
    except ValueError:
        host = None
    if not host:
        raise SpecError(f"--origin {origin}: not an origin. Give scheme and name, such as https://chat.example.org")
    return _bracketed(host)
