"""The same run on a real Ray cluster of two nodes on this machine, each too small for the whole graph."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import pytest

from rag.batch.elsewhere import through_cluster
from rag.batch.folder import ANSWERS
from rag.batch.run import Forecast, run_batch
from rag.cli import main
from rag.errors import MissingModel, SpecError
from rag.pipeline import load_pipeline
from rag.pipeline.identity import Identities, graph_identity
from rag.pipeline.questions import read_questions
from rag.types import Document, Query
from ragline_cluster import RayCluster
from tests.generators.llm.conftest import save_random_model
from tests.small_index import small_index

# Ray warns of its own settings, and leaves pipes of the processes it started to the garbage collector.
pytestmark = [
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::FutureWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]
ROOT = Path(__file__).resolve().parents[3]
WORDS = ["leave", "bicycle", "laptop", "warranty", "signatures", "train", "goggles", "wheel", "assembly", "receipt"]


def graph(model: Path) -> dict[str, Any]:
    writer = {"use": "llm.transformers", "with": {"model": str(model), "device": "cpu", "dtype": "float32"}}
    return {
        "version": 1,
        "models": {"writer": writer, "ranker": {"use": "llm.scripted", "with": {"replies": ["[2] > [1] > [3]"]}}},
        "nodes": {
            "bm25": {"use": "retrieve.bm25", "in": "query", "k": 3},
            "ranked": {"use": "rerank.listwise", "in": "bm25", "k": 3, "with": {"llm": "ranker"}},
            "context": {"use": "assemble.token_budget", "in": "ranked", "with": {"llm": "writer", "max_tokens": 120}},
            "answer": {"use": "generate.cited", "in": "context", "with": {"llm": "writer", "max_tokens": 8}},
        },
        "output": "answer",
    }


@pytest.fixture(scope="module")
def index(tmp_path_factory: pytest.TempPathFactory, documents: tuple[Document, ...]) -> Path:
    return small_index(tmp_path_factory.mktemp("ray"), documents)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_random_model(tmp_path_factory.mktemp("model"))


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    """Two nodes of two processors each; the graph's three pools fit on neither alone."""
    pytest.importorskip("ray")
    os.environ["RAY_worker_niceness"] = "0"  # noqa: SIM112, Ray reads this very name; its workers come last otherwise
    from ray.cluster_utils import Cluster

    nodes = Cluster(initialize_head=True, head_node_args={"num_cpus": 2, "include_dashboard": False})
    nodes.add_node(num_cpus=2)
    nodes.wait_for_nodes()
    yield nodes.address
    import ray

    ray.shutdown()  # where Ray was imported before us, a thread of a run that ended early may have connected anew
    nodes.shutdown()


def questions(folder: Path, n: int) -> Path:
    path = folder / "questions.jsonl"
    lines = [{"id": f"q{i}", "question": f"When is the {WORDS[i % 10]} number {i}?"} for i in range(n)]
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return path


def stripped(out: Path) -> list[dict[str, Any]]:
    """Committed lines by id, without what may differ between two runs."""
    lines = [json.loads(line) for line in (out / ANSWERS).read_text(encoding="utf-8").splitlines()]
    kept = [{name: value for name, value in line.items() if name != "cost"} for line in lines]
    return sorted(kept, key=lambda line: str(line["id"]))


@pytest.mark.slow
def test_a_cluster_gives_the_lines_of_one_machine(index: Path, model: Path, address: str, tmp_path: Path) -> None:
    path, told = questions(tmp_path, 50), list[Forecast]()
    with load_pipeline(graph(model), index=index) as pipeline:
        run_batch(path, pipeline, out=tmp_path / "here", batch=8)
        report = run_batch(
            path, pipeline, out=tmp_path / "there", batch=8, cluster=RayCluster(address=address), forecast=told.append
        )
    assert stripped(tmp_path / "there") == stripped(tmp_path / "here")
    assert len({line["answer"] for line in stripped(tmp_path / "there")}) > 1
    assert report.n_answered == 50
    assert [(node.name, node.n_in) for node in report.nodes] == [
        ("bm25", 50), ("ranked", 50), ("context", 50), ("answer", 50),
    ]  # fmt: skip
    assert [forecast.n_left for forecast in told] == [42]


@pytest.mark.slow
def test_a_long_file_is_given_to_the_cluster_in_windows(
    address: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Lines and their order stay; no more of the file is read than the window that is worked on."""
    monkeypatch.setattr("ragline_cluster.through.WINDOW", 3)
    path = questions(tmp_path, 20)
    taken: list[int] = []

    def batches(most: int) -> Iterator[list[Query]]:
        asked = read_questions(path)
        while batch := list(islice(asked, most)):
            taken.append(len(batch))
            yield batch

    with load_pipeline(CLOSED) as pipeline:
        run_batch(path, pipeline, out=tmp_path / "here")
        identities = Identities(graph=graph_identity(pipeline.graph), index="")
        answers: list[dict[str, Any]] = []
        for number, done in enumerate(through_cluster(batches(4), pipeline, identities, RayCluster(address=address))):
            assert len(taken) == (3 if number < 3 else 5)
            answers += done.answers
    assert [line["id"] for line in answers] == [f"q{number}" for number in range(20)]
    written = [{k: v for k, v in line.items() if k != "digest"} for line in stripped(tmp_path / "here")]
    given = [{k: v for k, v in line.items() if k != "cost"} for line in answers]
    assert sorted(given, key=lambda line: str(line["id"])) == written


KILLED = """
import os, signal, sys
from pathlib import Path
from rag.batch.run import run_batch
from ragline_cluster import RayCluster
from rag.pipeline import load_pipeline

def stop(what, done, total):
    if done >= 16:
        from ray._common.usage.usage_lib import usage_stats_enabled
        Path(out, "reports").write_text(str(usage_stats_enabled()))
        os.kill(os.getpid(), signal.SIGKILL)

graph, index, questions, out = sys.argv[1:]
run_batch(questions, load_pipeline(graph, index=index), out=out, batch=8, cluster=RayCluster(actors=2), progress=stop)
"""


@pytest.mark.slow
def test_a_run_that_is_killed_goes_on_where_it_was(index: Path, model: Path, address: str, tmp_path: Path) -> None:
    """Killed on a cluster of its own, resumed on another by the command, and no line is written twice."""
    path, out = questions(tmp_path, 50), tmp_path / "out"
    (tmp_path / "g.yaml").write_text(json.dumps(graph(model)))
    files = [str(tmp_path / "g.yaml"), str(index), str(path), str(out)]
    environment = {name: value for name, value in os.environ.items() if name != "RAY_USAGE_STATS_ENABLED"}
    killed = subprocess.run(
        [sys.executable, "-c", KILLED, *files], cwd=ROOT, env=environment, check=False, timeout=1200
    )
    assert killed.returncode == -signal.SIGKILL
    assert (out / "reports").read_text() == "False"
    before = (out / ANSWERS).read_bytes()
    assert before.count(b"\n") == 16
    command = ["batch", str(path), "--graph", files[0], "--index", str(index), "--out", str(out), "--batch", "8"]
    assert main([*command, "--resume", "--ray", address, "--json"]) == 0
    assert (out / ANSWERS).read_bytes().startswith(before)
    with load_pipeline(graph(model), index=index) as pipeline:
        run_batch(path, pipeline, out=tmp_path / "here", batch=8)
    assert stripped(out) == stripped(tmp_path / "here")


@pytest.mark.slow
def test_what_hits_all_questions_alike_ends_the_run(index: Path, address: str, tmp_path: Path) -> None:
    folder = save_random_model(tmp_path / "model")
    with load_pipeline(graph(folder), index=index) as pipeline:
        folder.rename(tmp_path / "elsewhere")  # this process loads no weights, so an actor finds out
        with pytest.raises(MissingModel):
            run_batch(questions(tmp_path, 30), pipeline, out=tmp_path / "out", cluster=RayCluster(address=address))
    assert (tmp_path / "out" / ANSWERS).read_bytes() == b""


CLOSED = {
    "version": 1,
    "models": {"small": {"use": "llm.scripted", "with": {"replies": ["So."]}}},
    "nodes": {"answer": {"use": "generate.closed_book", "in": "query", "with": {"llm": "small"}}},
    "output": "answer",
}


def test_ray_does_not_connect_by_itself_behind_a_run_unless_the_program_had_it_before(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from ragline_cluster.connecting import _stay_disconnected

    monkeypatch.setenv("RAY_ENABLE_AUTO_CONNECT", "")  # so that what it was comes back afterwards
    monkeypatch.delenv("RAY_ENABLE_AUTO_CONNECT")
    monkeypatch.setitem(sys.modules, "ray", sys)
    _stay_disconnected()
    assert "RAY_ENABLE_AUTO_CONNECT" not in os.environ
    monkeypatch.delitem(sys.modules, "ray")
    _stay_disconnected()
    assert os.environ["RAY_ENABLE_AUTO_CONNECT"] == "0"


def test_a_cluster_that_is_not_there_is_told_at_once(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    with (
        load_pipeline(CLOSED) as pipeline,
        pytest.raises(SpecError, match=f"no Ray cluster answers at '127.0.0.1:{port}'"),
    ):
        run_batch(
            questions(tmp_path, 3), pipeline, out=tmp_path / "out", cluster=RayCluster(address=f"127.0.0.1:{port}")
        )
