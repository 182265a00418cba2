"""A server that is down, slow, too old or full, and addresses that are none: a clear message, and nothing is lost."""

from __future__ import annotations

import json
import socket
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread
from time import perf_counter
from typing import Any

import pytest

from plugins.servers.tests.conftest import Addresses
from rag import Asker, add_documents, build_index, index_sources, remove_from_index
from rag.core.filters import newest_of
from rag.erasure import erase_from_index
from rag.errors import IndexProblem, MissingDependency, SpecError
from rag.filters import asked_by
from rag.indexes import SERVERS, IndexSettings, open_index
from ragline_servers.address import ServerAddress
from ragline_servers.milvus import MilvusStore
from ragline_servers.parts import FORM
from ragline_servers.store import CollectionStore

SCHEMES = ["milvus", "qdrant"]


@pytest.fixture
def texts(tmp_path: Path) -> Path:
    folder = tmp_path / "texts"
    folder.mkdir()
    (folder / "a.md").write_text("a wheel and a fork")
    return folder


@pytest.fixture
def silent_port() -> Iterator[int]:
    """A port that takes connections and never answers."""
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen(8)
        yield listening.getsockname()[1]


def waited_s(connect: Callable[[], object]) -> float:
    """Seconds until a server is given up, at the best of three tries: the first also reads the client's library."""
    tries = []
    for _ in range(3):
        begun = perf_counter()
        with pytest.raises(IndexProblem, match="no server answers"):
            connect()
        tries.append(perf_counter() - begun)
        if tries[-1] < 10:
            break
    return min(tries)


@pytest.mark.parametrize("scheme", SCHEMES)
def test_a_server_that_is_down_is_named_at_once(scheme: str, texts: Path) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]
    with pytest.raises(
        IndexProblem, match=rf"'{scheme}://127\.0\.0\.1:{port}/notes': no server answers at 127\.0\.0\.1"
    ):
        open_index(f"{scheme}://127.0.0.1:{port}/notes")
    with pytest.raises(IndexProblem, match="no server answers"):
        build_index(texts, f"{scheme}://127.0.0.1:{port}/notes", legs=("lexical",))
    assert (
        waited_s(lambda: SERVERS.get(scheme).store.connect(ServerAddress.parse(f"{scheme}://127.0.0.1:{port}/a"))) < 10
    )


@pytest.mark.parametrize("scheme", SCHEMES)
def test_a_server_that_never_answers_is_given_up(scheme: str, silent_port: int) -> None:
    address = ServerAddress.parse(f"{scheme}://127.0.0.1:{silent_port}/notes")
    assert waited_s(lambda: SERVERS.get(scheme).store.connect(address, timeout_s=1.0)) < 10


def test_an_old_qdrant_is_refused() -> None:
    class Old(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = json.dumps({"title": "qdrant - vector search engine", "version": "1.8.4"}).encode()
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *given: Any) -> None: ...

    with HTTPServer(("127.0.0.1", 0), Old) as server:
        thread = Thread(target=server.serve_forever)
        thread.start()
        try:
            with pytest.raises(IndexProblem, match=r"Qdrant 1\.8\.4 is too old; ragline needs 1\.10 or newer"):
                open_index(f"qdrant://127.0.0.1:{server.server_port}/notes")
        finally:
            server.shutdown()
            thread.join()


def test_an_old_milvus_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from pymilvus import MilvusClient

    monkeypatch.setattr(MilvusClient, "get_server_version", lambda self: "v2.3.21")
    with pytest.raises(IndexProblem, match=r"Milvus v2\.3\.21 is too old; ragline needs 2\.5 or newer"):
        MilvusStore.connect(ServerAddress.parse(f"milvus+lite://{tmp_path}/a.db/notes"), create=True)


def test_a_full_server_leaves_readers_what_they_had(
    addresses: Addresses, texts: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    address = addresses("full")
    build_index(texts, address, legs=("lexical",))
    (texts / "b.md").write_text("a grinder")
    if address.startswith("milvus"):
        from pymilvus import MilvusClient as Client
        from pymilvus.exceptions import MilvusException as Refusal
    else:
        from qdrant_client import QdrantClient as Client
        from qdrant_client.http.exceptions import ResponseHandlingException

        def Refusal(message: str) -> Exception:  # noqa: N802
            return ResponseHandlingException(OSError(message))

    def full(*given: Any, **more: Any) -> None:
        raise Refusal(message="no space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(Client, "upsert", full)
        with pytest.raises(IndexProblem, match=r"the server could not write: .*no space left on device"):
            build_index(texts, address)
    with open_index(address) as index:
        assert len(index) == 1
    assert build_index(texts, address).unchanged  # the draft had it; it was sent
    with open_index(address) as index:
        assert len(index) == 2


def test_a_slow_answer_says_so(addresses: Addresses, texts: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    address = addresses("slow")
    build_index(texts, address, legs=("lexical",))
    if address.startswith("milvus"):
        from pymilvus import MilvusClient
        from pymilvus.exceptions import MilvusException

        def late(*given: Any, **more: Any) -> None:
            raise MilvusException(message="Deadline Exceeded")

        monkeypatch.setattr(MilvusClient, "search", late)
    else:
        from qdrant_client import QdrantClient
        from qdrant_client.http.exceptions import ResponseHandlingException

        def late(*given: Any, **more: Any) -> None:
            raise ResponseHandlingException(TimeoutError("timed out"))

        monkeypatch.setattr(QdrantClient, "query_batch_points", late)
    with open_index(address) as index, pytest.raises(IndexProblem, match=r"took too long to search.*look at its load"):
        index.leg("lexical").search([{"wheel": 1.0}], k=1)


def test_a_name_that_points_to_what_is_no_index_is_refused(addresses: Addresses, store: CollectionStore) -> None:
    store.create("stray", FORM)
    store.switch("astray", "stray")
    with pytest.raises(IndexProblem, match=r"its name points to collection 'stray', which ragline did not make"):
        open_index(addresses("astray"))
    store.drop("stray")
    with pytest.raises(IndexProblem, match=r"no such name|which is not there"):
        open_index(addresses("astray"))
    with pytest.raises(IndexProblem, match=r"no index at '.*/nothing': the server has no such name"):
        open_index(addresses("nothing"))
    with pytest.raises(IndexProblem, match=r"no index at '.*/nothing'.*Build the index: rag index SOURCE"):
        index_sources(addresses("nothing"))
    with pytest.raises(IndexProblem, match=r"no index at '.*/nothing'"):
        remove_from_index(["a"], addresses("nothing"))


def test_what_is_not_there_is_not_made_by_looking(addresses: Addresses, tmp_path: Path) -> None:
    scheme = addresses("any").partition(":")[0]
    with pytest.raises(IndexProblem, match=r"no index at .*: there is no '.*none\.db'"):
        open_index(f"{scheme}://{tmp_path}/none.db/notes")
    assert not list(tmp_path.iterdir())
    with pytest.raises(IndexProblem, match=r"there is no folder '.*/deep'"):
        build_index(tmp_path, f"{scheme}://{tmp_path}/deep/none.db/notes")


@pytest.mark.parametrize(
    ("address", "said"),
    [
        ("milvus://host:19530", "come a host, a port and a collection"),
        ("milvus://host:70000/notes", "come a host, a port and a collection"),
        ("qdrant://host:6333/a/b", "come a host, a port and a collection"),
        ("milvus://host/no%22tes", "a collection is named by letters"),
        ("milvus://host/1notes", "does not begin with a digit"),
        ("milvus+lite://data.db/notes", "comes an absolute path"),
        ("milvus://user:s3cret@host/notes", "an address holds no user and no key"),
    ],
)
def test_an_address_that_is_none_is_explained_without_its_key(address: str, said: str) -> None:
    with pytest.raises(IndexProblem, match=said) as caught:
        open_index(address)
    assert "s3cret" not in str(caught.value)


def test_an_address_is_read_again_as_it_was() -> None:
    address = ServerAddress.parse("milvus+lite:///data/a%2541 b/x.db/notes")
    assert address.place == "/data/a%41 b/x.db"
    assert ServerAddress.parse(str(address)) == address


def test_a_key_goes_to_the_server_that_the_operator_names_and_to_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MILVUS_TOKEN", "root:secret")
    monkeypatch.setenv("RAGLINE_API_KEYS", "MILVUS_TOKEN=https://vectors.example:19530")
    named, other = (ServerAddress.parse(f"milvus+https://{host}/notes") for host in ("vectors.example", "example.org"))
    assert named.key(19530) == "root:secret"
    assert other.key(19530) is None
    assert ServerAddress.parse("milvus://vectors.example/notes").key(19530) is None
    assert "secret" not in str(named)


def test_what_a_server_does_not_know_is_refused(addresses: Addresses, texts: Path) -> None:
    labelled = IndexSettings.model_validate({"reading": {"access": "acl"}})
    with pytest.raises(IndexProblem, match=r"cannot keep who may read a document \(reading.access\)"):
        build_index([texts], addresses("labelled"), settings=labelled, legs=("lexical",))
    address = addresses("plain")
    build_index([texts], address, legs=("lexical",))
    with open_index(address) as index:
        assert len(index.rows(asked_by(Asker(user="ann")))) == len(index), "no labels: everybody reads all of it"
        with pytest.raises(SpecError, match="versions: newest is answered by an index in a directory alone"):
            index.rows(newest_of("newest"))
    with pytest.raises(IndexProblem, match="an index in a directory alone"):
        erase_from_index(["texts"], address)
    with pytest.raises(IndexProblem, match="an index in a directory alone"):
        add_documents(["a text"], address)


@pytest.mark.parametrize(("scheme", "client"), [("milvus", "pymilvus"), ("qdrant", "qdrant_client")])
def test_whoever_lacks_a_client_is_told_what_to_install(
    scheme: str, client: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("rag.core.optional.find_spec", lambda module: None)
    told = rf"'{scheme}://host/notes' needs {client}, which is not installed. Run: pip install './plugins/servers\[{scheme}\]'"
    with pytest.raises(MissingDependency, match=told):
        open_index(f"{scheme}://host/notes")
