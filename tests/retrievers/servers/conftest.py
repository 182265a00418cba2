"""Both servers, embedded in the test: Milvus Lite and the local mode of Qdrant's client."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from retrievers.servers.address import ServerAddress
from retrievers.servers.index import connect
from retrievers.servers.store import CollectionStore

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
