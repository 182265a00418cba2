"""An index whose texts are encoded on a real Ray cluster: two nodes of one processor each, on this machine."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from rag.cli import main
from rag.errors import IndexMismatch, MissingModel, SpecError, StageError
from rag.indexing import build_index
from rag.indexing.encoders import Reading
from ragline_cluster import RayCluster
from ragline_cluster.actor import Reader, Trouble
from retrievers.encoders.sentence_encoder import SentenceEncoder
from retrievers.index.manifest import ragline_version
from retrievers.index.settings import IndexSettings
from tests.rag.test_indexing_elsewhere import corpus, written
from tests.retrievers.tiny_encoders import tiny_static
from tests.small_legs import SmallModels, usual_settings
from tests.threads import one_thread

# Ray warns of its own settings, and leaves pipes of the processes it started to the garbage collector.
pytestmark = [
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::FutureWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]
ROOT = Path(__file__).resolve().parents[3]
BLOCK = 1024
N = 5 * BLOCK
MARK = "RAGLINE_TEST_NODES"
"""In the environment of every process of the cluster that is started here, and of no other."""


class Nodes:
    """Two nodes of a processor each. Their own number of threads is another than that of an actor."""

    def __init__(self) -> None:
        from ray.cluster_utils import Cluster

        self._own = {"num_cpus": 1, "env_vars": {"OMP_NUM_THREADS": "3", MARK: str(os.getpid())}}
        self._processes = Cluster(initialize_head=True, head_node_args={**self._own, "include_dashboard": False})
        self.address: str = self._processes.address
        self.add()

    def add(self) -> None:
        self._second = self._processes.add_node(**self._own)
        self._processes.wait_for_nodes()

    def lose(self) -> None:
        """The second node, at once."""
        self._processes.remove_node(self._second, allow_graceful=False)

    def actors(self) -> list[int]:
        """Processes that are actors now."""
        mark = f"{MARK}={os.getpid()}".encode()
        pids = []
        for folder in Path("/proc").glob("[0-9]*"):
            try:
                if (folder / "cmdline").read_bytes().startswith(b"ray::Reader") and mark in (
                    folder / "environ"
                ).read_bytes().split(b"\0"):
                    pids.append(int(folder.name))
            except OSError:  # gone, or another user's
                continue
        return pids

    def end(self) -> None:
        self._processes.shutdown()


@pytest.fixture(scope="module", autouse=True)
def _as_many_threads_as_an_actor() -> Iterator[None]:
    """One: on some processors two round otherwise, and here bytes are compared."""
    with one_thread():
        yield


@pytest.fixture(scope="module")
def nodes() -> Iterator[Nodes]:
    pytest.importorskip("ray")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RAY_worker_niceness", "0")  # Ray reads this very name; its workers come last otherwise
        nodes = Nodes()
        yield nodes
        import ray

        ray.shutdown()
        nodes.end()


@pytest.fixture(scope="module")
def texts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Five blocks of distinct texts, and a text twice."""
    return corpus(tmp_path_factory.mktemp("texts") / "corpus.jsonl", N, repeated=1)


def static(models: SmallModels) -> IndexSettings:
    return IndexSettings.model_validate({"dense": {"encoder": str(models.static)}})


@pytest.mark.slow
def test_two_nodes_write_the_bytes_of_one_process(nodes: Nodes, small_models: SmallModels, tmp_path: Path) -> None:
    """Every leg that has a model; the last block of the dense one has two texts."""
    source, legs = (
        corpus(tmp_path / "corpus.jsonl", 2 * BLOCK + 2),
        ("dense", "promptreps", "sparse", "late_interaction"),
    )
    settings = usual_settings(small_models)
    build_index(source, tmp_path / "here", settings=settings, legs=legs[:-1])
    # Alone, for beside vectors it has no reading of its own in one process, and is rounded otherwise.
    build_index(source, tmp_path / "alone", settings=settings, legs=legs[-1:])
    late = {path: data for path, data in written(tmp_path / "alone").items() if path.startswith(legs[-1])}
    report = build_index(
        source, tmp_path / "there", settings=settings, legs=legs, cluster=RayCluster(address=nodes.address, actors=2)
    )
    assert report.on_cluster == dict.fromkeys(legs, 2 * BLOCK + 2)
    there, here = written(tmp_path / "there"), written(tmp_path / "here") | late
    assert there.keys() == here.keys()
    assert [path for path in there if there[path] != here[path]] == ["manifest.json"]  # it says which legs there are
    again = build_index(source, tmp_path / "there", cluster=RayCluster(address=nodes.address))
    assert again.unchanged
    assert not again.on_cluster


@pytest.mark.slow
def test_the_block_of_an_actor_that_is_killed_is_read_by_another(
    nodes: Nodes, small_models: SmallModels, texts: Path, tmp_path: Path
) -> None:
    """Killed behind the first block, with all others taken or waiting."""
    settings, killed = static(small_models), list[int]()

    def kill_one(step: str, done: int, total: int) -> None:
        if step == "encode" and done > BLOCK and not killed:
            killed.append(nodes.actors()[0])
            os.kill(killed[0], signal.SIGKILL)

    cluster = RayCluster(address=nodes.address, actors=1)
    build_index(texts, tmp_path / "there", settings=settings, legs=["dense"], cluster=cluster, progress=kill_one)
    build_index(texts, tmp_path / "here", settings=settings, legs=["dense"])
    assert killed
    assert written(tmp_path / "there") == written(tmp_path / "here")


@pytest.mark.slow
def test_a_node_that_is_lost_leaves_its_blocks_to_the_other(
    nodes: Nodes, small_models: SmallModels, texts: Path, tmp_path: Path
) -> None:
    """There is no room for a second actor any more, and nobody waits for it."""
    settings, lost = static(small_models), list[int]()

    def lose_one(step: str, done: int, total: int) -> None:
        if step == "encode" and done > BLOCK and not lost:
            lost.append(done)
            nodes.lose()

    cluster = RayCluster(address=nodes.address, actors=2)
    try:
        build_index(texts, tmp_path / "there", settings=settings, legs=["dense"], cluster=cluster, progress=lose_one)
    finally:
        nodes.add()
    build_index(texts, tmp_path / "here", settings=settings, legs=["dense"])
    assert lost
    assert written(tmp_path / "there") == written(tmp_path / "here")


KILLED = """
import os, signal, sys
from ragline_cluster import RayCluster
from rag.indexing import build_index
from retrievers.index.settings import IndexSettings

def stop(step, done, total):
    if step == "encode" and done > 2 * 1024:
        os.kill(os.getpid(), signal.SIGKILL)

texts, home, encoder = sys.argv[1:]
settings = IndexSettings.model_validate({"dense": {"encoder": encoder}})
build_index(texts, home, settings=settings, legs=["dense"], cluster=RayCluster(actors=2), progress=stop)
"""


@pytest.mark.slow
def test_a_build_that_is_killed_encodes_nothing_twice(
    nodes: Nodes, small_models: SmallModels, texts: Path, tmp_path: Path
) -> None:
    """Killed on a cluster of its own behind the second block, and gone on with on another by the command."""
    there = tmp_path / "there"
    given = [str(texts), str(there), str(small_models.static)]
    killed = subprocess.run([sys.executable, "-c", KILLED, *given], cwd=ROOT, check=False, timeout=1200)
    assert killed.returncode == -signal.SIGKILL
    settings = static(small_models)
    cluster = RayCluster(address=nodes.address)
    report = build_index(texts, there, settings=settings, legs=["dense"], cluster=cluster)
    assert report.n_encoded == N - 2 * BLOCK
    assert report.on_cluster == {"dense": N - 2 * BLOCK}
    build_index(texts, tmp_path / "here", settings=settings, legs=["dense"])
    assert written(there) == written(tmp_path / "here")


@pytest.mark.slow
def test_a_model_that_a_node_has_not_is_told_with_the_node(nodes: Nodes, texts: Path, tmp_path: Path) -> None:
    encoder = tiny_static(tmp_path / "encoder")

    def move(step: str, done: int, total: int) -> None:
        if step == "encode":  # behind the text that is there twice: nothing is encoded yet
            encoder.rename(tmp_path / "elsewhere")

    settings = IndexSettings.model_validate({"dense": {"encoder": str(encoder)}})
    cluster = RayCluster(address=nodes.address)
    with pytest.raises(MissingModel, match=f"node {socket.gethostname()}: no model folder at '{encoder}'"):
        build_index(texts, tmp_path / "idx", settings=settings, legs=["dense"], cluster=cluster, progress=move)
    assert not nodes.actors()


@pytest.mark.slow
def test_the_command_tells_what_was_encoded_where(
    nodes: Nodes, small_models: SmallModels, texts: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    graph = {
        "version": 1,
        "index": {"dense": {"encoder": str(small_models.static)}},
        "nodes": {"near": {"use": "retrieve.dense", "in": "query", "k": 3}},
        "output": "near",
    }
    (tmp_path / "g.yaml").write_text(json.dumps(graph))
    command = ["index", "--index", str(tmp_path / "idx"), "--ray", nodes.address, "--ray-actors", "2"]
    assert main([*command, str(texts), "--graph", str(tmp_path / "g.yaml")]) == 0
    assert f"on the cluster: {N:,} texts of dense" in capsys.readouterr().out
    assert main(command) == 0
    assert "on the cluster: nothing, as no model had texts left to read" in capsys.readouterr().out


def blocks_of(cluster: RayCluster, *blocks: list[str]) -> list[Any]:
    """What actors make of blocks of a leg that a test replaced."""
    with cluster.reading() as read:
        return list(read(reading({}), iter(blocks)))


@pytest.mark.slow
def test_an_actor_has_as_many_threads_as_processors(nodes: Nodes, monkeypatch: pytest.MonkeyPatch) -> None:
    class Threads:
        def __init__(self, work: Any) -> None: ...
        def load(self) -> None: ...
        def read(self, texts: list[str]) -> dict[str, Any]:
            return {"threads": np.array([int(os.environ["OMP_NUM_THREADS"])]), "texts": np.array(texts)}

    monkeypatch.setattr("ragline_cluster.reading.Reader", Threads)
    made = blocks_of(RayCluster(address=nodes.address, actors=2), *([str(n)] for n in range(20)))
    assert [each["texts"].tolist() for each in made] == [[str(n)] for n in range(20)]
    assert {each["threads"].item() for each in made} == {1}


@pytest.mark.slow
def test_texts_that_end_every_actor_end_the_build(nodes: Nodes, monkeypatch: pytest.MonkeyPatch) -> None:
    class Ends:
        def __init__(self, work: Any) -> None: ...
        def load(self) -> None: ...
        def read(self, texts: list[str]) -> None:
            os.kill(os.getpid(), signal.SIGKILL)

    class NeverReady(Ends):
        def load(self) -> None:
            os.kill(os.getpid(), signal.SIGKILL)

    class Fails(Ends):
        def read(self, texts: list[str]) -> None:
            raise RuntimeError("no such kernel")

    monkeypatch.setattr("ragline_cluster.pool._MOST_SENT", 2)
    monkeypatch.setattr("ragline_cluster.pool._MOST_FAILED", 2)
    for kind, said in (
        (Ends, "2 actors were lost over the same 1 texts"),
        (NeverReady, "2 actors ended before they were ready"),
        (Fails, "an actor failed: RuntimeError: no such kernel"),
    ):
        monkeypatch.setattr("ragline_cluster.reading.Reader", kind)
        with pytest.raises(StageError, match=said):
            blocks_of(RayCluster(address=nodes.address), ["a"])
    assert not nodes.actors()


@pytest.mark.slow
def test_no_more_blocks_are_taken_than_actors_can_have(nodes: Nodes, monkeypatch: pytest.MonkeyPatch) -> None:
    class Echo:
        def __init__(self, work: Any) -> None: ...
        def load(self) -> None: ...
        def read(self, texts: list[str]) -> dict[str, Any]:
            return {"texts": np.array(texts)}

    monkeypatch.setattr("ragline_cluster.reading.Reader", Echo)
    taken = 0

    def blocks() -> Iterator[list[str]]:
        nonlocal taken
        for taken in range(1, 21):
            yield [str(taken)]

    with RayCluster(address=nodes.address, actors=2).reading() as read:
        for given, made in enumerate(read(reading({}), blocks())):
            assert made["texts"].tolist() == [str(given + 1)]
            assert taken <= given + 4


@pytest.mark.slow
def test_an_actor_that_fits_on_no_node_is_refused(nodes: Nodes) -> None:
    with pytest.raises(
        SpecError, match=r"an actor takes 4 processors and 0 GPUs, and no node .* has them; the largest has 1"
    ):
        blocks_of(RayCluster(address=nodes.address, cpus=4), ["a"])


def reading(made_by: dict[str, Any], **given: Any) -> Reading:
    return Reading(**{"kind": "dense", "made_by": made_by, "several": False, "version": ragline_version(), **given})


def test_an_actor_tells_what_its_node_has_not(small_models: SmallModels) -> None:
    made_by = SentenceEncoder(model=str(small_models.static)).describe()
    reader = Reader(reading(made_by))
    assert reader.load() is None
    assert reader.read(["paid leave"])["vector"].shape[0] == 1
    for wrong, kind, said in (
        (reading({**made_by, "name": "/no/such"}), MissingModel, "node n7: no model folder at '/no/such'. Every node"),
        (reading({**made_by, "weights_sha256": "0"}), IndexMismatch, "node n7: .*another encoder.*weights_sha256"),
        (reading(made_by, version="0.0.1"), IndexMismatch, "node n7: ragline .* is installed there, and 0.0.1 where"),
        (reading(made_by, plugins=("no_such_module",)), StageError, "node n7: plug-in 'no_such_module' cannot"),
    ):
        trouble = Reader(wrong, node="n7").load()
        assert isinstance(trouble, Trouble)
        with pytest.raises(kind, match=said):
            raise trouble.raised()


def test_a_cluster_of_no_size_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    command = ["index", str(tmp_path), "--index", str(tmp_path / "idx"), "--ray", "local", "--ray-gpus", "nan"]
    assert main(command) == 2
    assert "at least 1 actor of at least 1 processor and 0 GPUs" in capsys.readouterr().err


def test_a_cluster_that_is_not_there_is_told_before_anything_is_read(small_models: SmallModels, tmp_path: Path) -> None:
    source = corpus(tmp_path / "corpus.jsonl", 3)
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = f"127.0.0.1:{server.getsockname()[1]}"
    with pytest.raises(SpecError, match=f"no Ray cluster answers at '{address}'"):
        build_index(source, tmp_path / "idx", settings=static(small_models), cluster=RayCluster(address=address))
    assert not (tmp_path / "idx").exists()
