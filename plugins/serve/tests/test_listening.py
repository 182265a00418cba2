from __future__ import annotations

import socket
from pathlib import Path

import pytest

from rag.cli import main
from rag.core.errors import SpecError
from ragline_serve.commands.listening import address, is_loopback, listen, names, warn_if_open


@pytest.mark.parametrize(
    ("host", "only_here"),
    [
        ("127.0.0.1", True),
        ("127.0.0.2", True),
        ("127.255.255.254", True),
        ("::1", True),
        ("localhost", True),
        ("LOCALHOST", True),
        ("0.0.0.0", False),
        ("::", False),
        ("192.0.2.7", False),
        ("localhost.example.org", False),
        ("", False),
    ],
)
def test_loopback_is_an_address_and_not_a_spelling(
    host: str, only_here: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    assert is_loopback(host) is only_here
    assert bool(names(host)) is only_here
    warn_if_open(host, 0)
    warn_if_open(host, 1)
    assert capsys.readouterr().err.count("without keys") == (not only_here)


def test_on_loopback_a_server_goes_by_its_own_names_and_those_of_its_origins() -> None:
    assert set(names("127.0.0.2", ["https://chat.example.org", "http://[2001:db8::1]:80"])) == {
        "127.0.0.1",
        "localhost",
        "[::1]",
        "127.0.0.2",
        "chat.example.org",
        "[2001:db8::1]",
    }
    assert "[::1]" in names("::1")


@pytest.mark.parametrize("origin", ["http://[", "chat.example.org", "null", ""])
def test_an_origin_that_is_none_is_told(origin: str) -> None:
    with pytest.raises(SpecError, match="not an origin"):
        names("127.0.0.1", [origin])


def test_a_socket_says_its_address() -> None:
    with listen("127.0.0.1", 0) as listener:
        port = listener.getsockname()[1]
        assert address(listener) == f"http://127.0.0.1:{port}"
        with pytest.raises(SpecError, match=f"cannot listen on 127.0.0.1 port {port}: "):
            listen("127.0.0.1", port)


def test_what_a_socket_accepts_sends_at_once() -> None:
    """Else the body of every reply on a kept connection waits for the client to confirm its headers."""
    with listen("127.0.0.1", 0) as listener, socket.create_connection(listener.getsockname()):
        connection, _ = listener.accept()
        with connection:
            assert connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)


@pytest.mark.skipif(not socket.has_ipv6, reason="this machine has no IPv6")
def test_an_address_of_ipv6_is_bracketed() -> None:
    try:
        listener = listen("::1", 0)
    except SpecError:
        pytest.skip("this machine has no IPv6 loopback")
    with listener:
        assert address(listener).startswith("http://[::1]:")


@pytest.mark.parametrize("port", [-1, 65_536, 70_000, 2**40])
def test_a_port_that_does_not_exist_is_told(port: int) -> None:
    with pytest.raises(SpecError, match=f"there is no port {port}: ports are from 0"):
        listen("127.0.0.1", port)


@pytest.mark.parametrize("host", ["x" * 70, "\ud800"])
def test_a_host_that_cannot_be_is_told(host: str) -> None:
    with pytest.raises(SpecError, match="cannot listen on"):
        listen(host, 0)


def test_the_doctor_says_that_there_is_no_such_port(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RAGLINE_HOME", str(tmp_path))  # without models, whose gigabytes it would read
    assert main(["doctor", "--port", "70000"]) == 2
    [bad] = [line for line in capsys.readouterr().out.splitlines() if "70000" in line]
    assert bad.startswith("BAD ")
