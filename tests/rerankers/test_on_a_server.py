"""Prompt rerankers on a server that is not vLLM: what it is sent, what it may answer, and what is refused beforehand."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from generators.llm.server import ServerLLM
from generators.llm.transformers import TransformersLLM
from rag.core.powers import LacksPower
from rag.core.types import Document, Query, Ranking, ScoredDocument
from rag.graph.check import check
from rag.graph.checked import Checked
from rag.graph.load import load_spec
from rerankers import RERANKERS
from tests.generators.llm.conftest import save_random_model
from tests.generators.llm.serving import Served, Trouble, serving, status
from tests.rerankers.making import reranker

WRITING: dict[str, tuple[str, dict[str, Any]]] = {
    "listwise": ("listwise", {}),
    "lrl": ("listwise", {"template": "lrl"}),
    "setwise": ("setwise", {"scoring": "generation"}),
    "pairwise": ("pairwise", {"scoring": "generation"}),
    "tournament": ("tournament", {"stages": ((4, 2),), "tournaments": 1}),
    "self_consistency": ("self_consistency", {"runs": 2}),
}
GRAPH = """\
version: 1
models:
  api: {use: llm.server, with: {dialect: %s, context_window: 2000}}
nodes:
  found: {use: retrieve.bm25, in: query, k: 10}
  ranked: {use: rerank.%s, in: found, k: 5, with: {llm: api%s}}
output: ranked
"""


@pytest.fixture(scope="module")
def noise(tmp_path_factory: pytest.TempPathFactory) -> TransformersLLM:
    folder = save_random_model(tmp_path_factory.mktemp("decoder"))
    return TransformersLLM(model=str(folder), device="cpu", dtype="float32")


@pytest.fixture
def plain(noise: TransformersLLM) -> Iterator[Served]:
    """A server that says nothing of being vLLM."""
    with serving(noise) as server:
        server.owner = "somebody"
        yield server


def client(served: Served, dialect: Any = "openai") -> ServerLLM:
    return ServerLLM(model="tiny", url=served.url, dialect=dialect, timeout_s=20.0)


def ranking(n: int) -> Ranking:
    hits = tuple(
        ScoredDocument(document=Document(doc_id=f"d{i}", text=f"word {i}"), score=float(n - i)) for i in range(n)
    )
    return Ranking(query=Query(qid="q", text="which word?"), hits=hits)


def saying(text: str) -> Trouble:
    choice = {"message": {"content": text}, "finish_reason": "stop"}
    return status(200, json.dumps({"choices": [choice], "usage": {"prompt_tokens": 9, "completion_tokens": 4}}))


@pytest.mark.parametrize("dialect", ["openai", "auto"])
@pytest.mark.parametrize("which", WRITING)
def test_what_writes_runs_from_end_to_end(which: str, dialect: str, plain: Served) -> None:
    name, params = WRITING[which]
    [found] = reranker(name, client(plain, dialect), **params).rerank([ranking(4)], k=4)
    assert sorted(found.doc_ids) == ["d0", "d1", "d2", "d3"]
    bodies = plain.posts("/v1/chat/completions")
    assert found.usage.calls == len(bodies) > 0
    for body in bodies:
        assert body["messages"][-1]["role"] == "user"
        assert not {"continue_final_message", "structured_outputs"} & set(body)


@pytest.mark.parametrize("reply", ["[3] > [1] > [2]", "3] > [1] > [2]", "[3] > [1] > [2]\n", " [3], [1], [2]"])
def test_a_list_is_read_with_its_beginning_or_without(reply: str, plain: Served) -> None:
    plain.trouble.append(saying(reply))
    [found] = RERANKERS.get("listwise")(llm=client(plain)).rerank([ranking(3)], k=3)
    assert found.doc_ids == ("d2", "d0", "d1")
    assert dict(found.outcome.counts) == {"calls": 1, "ok": 1}
    [body] = plain.posts("/v1/chat/completions")
    assert body["messages"][-1]["content"].endswith("and nothing else.\n\n[")


@pytest.mark.parametrize("reply", ["PASSAGE3, PASSAGE1, PASSAGE2", "3, PASSAGE1, PASSAGE2"])
def test_names_are_read_with_their_beginning_or_without(reply: str, plain: Served) -> None:
    for text in (reply, f"SORTED PASSAGES = {reply}"):
        plain.trouble.append(saying(text))
        [found] = RERANKERS.get("listwise")(llm=client(plain), template="lrl").rerank([ranking(3)], k=3)
        assert found.doc_ids == ("d2", "d0", "d1")
        assert found.outcome.kind == "ok"


@pytest.mark.parametrize("reply", ["Passage B", "B", " B.", "passage b", "[B]", "**Passage B**"])
def test_a_letter_is_read_with_its_beginning_or_without(reply: str, plain: Served) -> None:
    plain.trouble.append(saying(reply))
    [found] = RERANKERS.get("setwise")(llm=client(plain), scoring="generation").rerank([ranking(2)], k=2)
    assert found.doc_ids == ("d1", "d0")
    assert dict(found.outcome.counts) == {"calls": 1, "ok": 1}


def checked(tmp_path: Path, dialect: str, name: str, more: str = "") -> Checked:
    path = tmp_path / "graph.yaml"
    path.write_text(GRAPH % (dialect, name, more))
    return check(load_spec(str(path)))


@pytest.mark.parametrize(
    "name", ["yes_no", "graded", "recency", "query_likelihood", "first", "setwise", "pairwise", "self_consistency"]
)
def test_a_server_named_as_plain_is_refused_what_it_lacks(name: str, tmp_path: Path) -> None:
    more = ", of: first" if name == "self_consistency" else ""
    [problem] = checked(tmp_path, "openai", name, more).problems
    assert "cannot (dialect openai has no word for it; vllm serve has, with dialect vllm)." in problem
    assert problem.endswith(
        "Models that can: llm.llama_cpp, llm.scripted, llm.server, llm.transformers, llm.vllm_offline."
    )
    with pytest.raises(LacksPower, match="dialect openai has no word for it"):
        reranker(name, ServerLLM(dialect="openai"), **({"of": "first"} if more else {}))


@pytest.mark.parametrize("dialect", ["openai", "auto"])
@pytest.mark.parametrize("name", ["listwise", "setwise, scoring: generation", "tournament", "self_consistency"])
def test_what_writes_needs_no_more_than_a_plain_server(name: str, dialect: str, tmp_path: Path) -> None:
    use, _, more = name.partition(",")
    found = checked(tmp_path, dialect, use, f",{more}" if more else "")
    assert (found.problems, found.notes) == ([], [])


@pytest.mark.parametrize("name", ["yes_no", "query_likelihood", "first", "setwise"])
def test_a_server_that_was_not_asked_what_it_is_is_noted(name: str, tmp_path: Path) -> None:
    found = checked(tmp_path, "auto", name)
    assert found.problems == []
    [note] = found.notes
    assert note.startswith(f"node 'ranked': 'api' may lack what rerank.{name} needs: only vLLM scores and chooses")
    assert checked(tmp_path, "vllm", name).notes == []
