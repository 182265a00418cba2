from __future__ import annotations

import json
from pathlib import Path

import pytest

from rag.cli import main
from tests.generators.llm.conftest import save_random_model

DOCS = Path(__file__).parents[3] / "docs" / "reference" / "json.md"
GRAPH = """
version: 1
models: {{tiny: {{use: llm.transformers, with: {{model: {model}, dtype: float32}}}}}}
nodes:
  bm25: {{use: retrieve.bm25, in: query, k: 10}}
  ranked: {{use: rerank.attention, in: bm25, k: 10, with: {{llm: tiny, heads: [0-1], keep: {keep}}}}}
output: ranked
"""


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_random_model(tmp_path_factory.mktemp("model"))


def graph(folder: Path, model: Path, *, keep: str) -> Path:
    path = folder / "graph.yaml"
    path.write_text(GRAPH.format(model=model, keep=keep), encoding="utf-8")
    return path


def test_states_made_with_the_index_serve_the_first_search(
    notes: Path, model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    asked = ["--graph", str(graph(tmp_path, model, keep="disk")), "--index", str(tmp_path / "idx"), "--json"]
    assert main(["index", str(notes), *asked, "--states"]) == 0
    made = json.loads(capsys.readouterr().out)
    assert made["states"] == {"ranked": made["n_units"]}
    assert main(["search", "paid leave and lost key", *asked]) == 0
    [ranked] = [node for node in json.loads(capsys.readouterr().out)["nodes"] if node["node"] == "ranked"]
    assert ranked["cached_tokens"] > ranked["prompt_tokens"] / 2
    assert main(["index", str(notes), *asked, "--states"]) == 0
    again = json.loads(capsys.readouterr().out)
    assert again["states"] == {"ranked": 0}
    kept = again["kept_states"]["ranked"]
    assert (kept["kept"], kept["hits"], kept["misses"]) == (made["n_units"], made["n_units"], 0)
    assert main(["index", str(notes), *asked[:-1], "--states"]) == 0
    assert f"0 passages newly read for 'ranked' ({made['n_units']} kept, 0.0 MiB with" in capsys.readouterr().out


def test_every_key_is_in_the_docs(notes: Path, model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    graph_file = str(graph(tmp_path, model, keep="memory"))
    assert (
        main(["index", str(notes), "--graph", graph_file, "--index", str(tmp_path / "idx"), "--json", "--states"]) == 0
    )
    given = json.loads(capsys.readouterr().out)
    [section] = [
        part for part in DOCS.read_text(encoding="utf-8").split("\n## ") if part.startswith("`rag index --json`")
    ]
    assert [key for key in (*given, *given["kept_states"]["ranked"]) if f"`{key}`" not in section] == []


def test_a_graph_that_keeps_nothing_is_told_how_to(
    notes: Path, model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    given = ["--graph", str(graph(tmp_path, model, keep="nowhere")), "--index", str(tmp_path / "idx")]
    assert main(["index", str(notes), *given, "--states"]) == 2
    assert "keep: disk" in capsys.readouterr().err
    assert main(["index", str(notes), "--graph", "bm25", "--index", str(tmp_path / "idx"), "--states"]) == 2
    assert "nothing to read ahead" in capsys.readouterr().err
