"""Both servers, embedded in the test: Milvus Lite and the local mode of Qdrant's client."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from ragline_servers.address import ServerAddress
from ragline_servers.store import CollectionStore, connect

# gRPC, which Milvus Lite brings, writes a line for every fork of a process in which it runs. It does so for children that go on
# to speak gRPC; here a child starts another program, or ends.
os.environ.setdefault("GRPC_ENABLE_FORK_SUPPORT", "0")

Addresses = Callable[[str], str]
"""Name of a collection -> its address."""


@pytest.fixture(scope="module", params=["milvus+lite", "qdrant+local"])
def addresses(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Addresses:
    """One server for all tests of a file."""
    place: Path = tmp_path_factory.mktemp("server") / "data.db"
    return lambda collection: f"{request.param}://{place}/{collection}"


@pytest.fixture
def store(addresses: Addresses) -> Iterator[CollectionStore]:
    opened = connect(ServerAddress.parse(addresses("any")), create=True)
    yield opened
    opened.close()
