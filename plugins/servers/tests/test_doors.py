"""The commands over an index on a server, each in a process of its own: nothing is kept between them but the server's data."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from rag.cli import main
from tests.forks import Forks, forks


@pytest.fixture(params=["milvus+lite", "qdrant+local"])
def address(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setenv("RAGLINE_HOME", str(tmp_path / "home"))  # without models: the doctor reads every byte of them
    return f"{request.param}://{tmp_path}/data.db/notes"


@pytest.fixture(scope="module")
def commands(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Forks]:
    with forks(tmp_path_factory.mktemp("said"), "pymilvus", "qdrant_client") as made:
        yield made


def test_a_folder_is_indexed_searched_evaluated_and_taken_out(address: str, tmp_path: Path, commands: Forks) -> None:
    def rag(*words: str) -> str:
        done = commands.rag(*words, cwd=tmp_path, environment=os.environ)
        assert done.returncode == 0, done.stderr
        return done.stdout

    texts = tmp_path / "texts"
    texts.mkdir()
    (texts / "a.md").write_text("Paid leave is thirty days.")
    (texts / "b.md").write_text("Report a lost laptop.")
    assert address in rag("index", str(texts), "--index", address, "--graph", "bm25")
    found = json.loads(rag("search", "leave", "--index", address, "--graph", "bm25", "--json"))
    assert [hit["doc_id"] for hit in found["hits"]] == ["texts/a.md#1"]
    assert "every file as written" in rag("doctor", "--index", address)
    rag("remove", "texts/b.md", "--index", address)
    (texts / "c.md").write_text("A note on leave.")
    rag("index", str(texts), "--index", address)
    listed = rag("ls", "--index", address)
    assert [name for name in ("texts/a.md", "texts/b.md", "texts/c.md") if name in listed] == [
        "texts/a.md",
        "texts/c.md",
    ]


def test_a_check_of_a_graph_stays_off_the_network(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check", "bm25", "--index", "milvus://192.0.2.1/notes"]) == 0
    assert "is on a server, which is not asked. --connect asks it" in capsys.readouterr().err
    assert main(["check", "bm25", "--index", "joined://notes|qdrant://192.0.2.1/notes"]) == 0


def test_settings_may_name_a_server(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "ragline.toml").write_text('index = "milvus+lite:///nowhere/a.db/notes"')
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("RAGLINE_INDEX", raising=False)
    assert main(["ls"]) == 4
    assert "no index at 'milvus+lite:///nowhere/a.db/notes'" in capsys.readouterr().err
