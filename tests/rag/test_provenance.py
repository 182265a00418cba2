"""The facts of a run: what is kept, what counts as a change, and that a run says what really made it."""

from __future__ import annotations

import json
import platform
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest

from rag.batch.run import run_batch
from rag.core.errors import SpecError
from rag.core.types import Document
from rag.core.version import VERSION
from rag.models import weights_sha256
from rag.pipeline import load_pipeline
from rag.pipeline.provenance import (
    CONFIGURATION,
    PROVENANCE,
    SURROUNDINGS,
    UNKNOWN,
    Provenance,
    changes_between,
    provenance_of,
    read_provenance,
    source_sha256,
    write_provenance,
)
from tests.generators.llm.conftest import save_random_model
from tests.small_index import small_index
from tests.small_legs import SmallModels

HANDBOOK = [
    Document(doc_id="a", text="Everyone has thirty days of leave."),
    Document(doc_id="b", text="Report a lost key."),
]


def graph(llm: dict[str, Any], prompt: str = "answer_cited") -> dict[str, Any]:
    return {
        "version": 1,
        "models": {"small": llm},
        "nodes": {
            "bm25": {"use": "retrieve.bm25", "k": 2},
            "context": {"use": "assemble.token_budget", "in": "bm25", "with": {"llm": "small", "max_tokens": 60}},
            "answer": {
                "use": "generate.cited",
                "in": "context",
                "with": {"llm": "small", "max_tokens": 4, "prompt": prompt},
            },
        },
        "output": "answer",
    }


SCRIPTED = {"use": "llm.scripted", "with": {"replies": ["Thirty [1]."]}}


@pytest.fixture(scope="module")
def index(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return small_index(tmp_path_factory.mktemp("facts"), HANDBOOK)


def facts_of(data: dict[str, Any], index: Path) -> Provenance:
    with load_pipeline(data, index=index) as pipeline:
        return provenance_of(pipeline.graph, pipeline.index)


def test_what_is_kept_is_what_is_here(index: Path) -> None:
    facts = facts_of(graph(SCRIPTED), index).facts
    assert set(facts) == {*CONFIGURATION, *SURROUNDINGS}
    assert facts["libraries"]["ragline"] == VERSION
    assert facts["libraries"]["python"] == platform.python_version()
    assert facts["libraries"]["numpy"] == version("numpy")
    assert "faiss-gpu" not in facts["libraries"], "what is not installed is no fact"
    assert facts["prompts"].keys() == {"answer_cited"}
    assert {"bm25", "context", "answer", "models.small", "(wiring)"} == facts["graph"].keys()
    with load_pipeline(graph(SCRIPTED), index=index) as pipeline:
        assert pipeline.index is not None
        assert facts["index"] == {"identity": pipeline.index.identity}
    assert facts["models"] == facts["compute"] == {}


def test_a_model_is_known_by_its_weights_and_by_what_it_computes_in(index: Path, tmp_path: Path) -> None:
    folder = save_random_model(tmp_path / "tiny")
    llm = {"use": "llm.transformers", "with": {"model": str(folder), "dtype": "float32", "device": "cpu"}}
    facts = facts_of(graph(llm), index).facts
    assert facts["models"] == {str(folder): weights_sha256(folder)}
    assert facts["compute"]["models.small"] == "float32 on cpu"
    assert int(facts["compute"]["torch's threads"]) >= 1
    llm["with"] = {"model": str(folder), "dtype": "bfloat16", "device": "cpu"}
    assert facts_of(graph(llm), index).facts["compute"]["models.small"] == "bfloat16 on cpu"
    llm["with"] = {"model": str(folder), "device": "cpu"}
    assert facts_of(graph(llm), index).facts["compute"]["models.small"] in ("bfloat16 on cpu", "float32 on cpu")


def test_a_reranker_with_a_model_of_its_own_says_so_too(index: Path, small_models: SmallModels) -> None:
    data = {
        "version": 1,
        "nodes": {
            "bm25": {"use": "retrieve.bm25", "k": 2},
            "ranked": {
                "use": "rerank.late_interaction",
                "in": "bm25",
                "k": 2,
                "with": {"model": str(small_models.colbert), "dtype": "float32"},
            },
        },
        "output": "ranked",
    }
    facts = facts_of(data, index).facts
    assert facts["compute"]["ranked"] == "float32"
    assert facts["models"] == {str(small_models.colbert): weights_sha256(small_models.colbert)}


def test_a_prompt_is_a_change_of_the_prompt_and_of_its_node(index: Path, tmp_path: Path) -> None:
    import prompts.template

    words = (prompts.template.LIBRARY / "answer_cited.yaml").read_text(encoding="utf-8")
    own = tmp_path / "own.yaml"
    own.write_text(words, encoding="utf-8")
    before = facts_of(graph(SCRIPTED, str(own)), index)
    assert changes_between([before], facts_of(graph(SCRIPTED, str(own)), index)) == []
    own.write_text(words.replace("brackets", "round brackets"), encoding="utf-8")
    changed = changes_between([before], facts_of(graph(SCRIPTED, str(own)), index))
    assert [(change.section, change.name) for change in changed] == [("graph", "answer"), ("prompts", str(own))]


def test_the_digest_of_the_source_is_of_its_words_alone(tmp_path: Path) -> None:
    roots = [tmp_path / name for name in ("one", "copy", "changed")]
    for root in roots:
        (root / "rag").mkdir(parents=True)
        (root / "rag" / "code.py").write_text("x = 1\n")
        (root / "rag" / "code.pyc").write_bytes(root.name.encode())
        (root / "other").mkdir()
        (root / "other" / "code.py").write_text(root.name)
    (roots[2] / "rag" / "code.py").write_text("x = 2\n")
    one, copy, changed = map(source_sha256, roots)
    assert one == copy != changed


def record(**sections: dict[str, str]) -> Provenance:
    return Provenance(facts=sections)


def test_changes_by_hand() -> None:
    before = record(libraries={"torch": "1", "numpy": "2", "vllm": "3"}, graph={"a": "x"}, index={"identity": "f" * 64})
    now = record(libraries={"torch": "1", "numpy": "9", "scipy": "4"}, graph={"a": "y"}, machine={"cores": "2"})
    changes = changes_between([before], now)
    assert [(one.section, one.name, one.before, one.now) for one in changes] == [
        ("graph", "a", "x", "y"),
        ("libraries", "numpy", "2", "9"),
        ("libraries", "scipy", None, "4"),
        ("libraries", "vllm", "3", None),
    ]
    assert changes[3].told == "libraries: vllm: 3 -> none"
    both = changes_between([before, now, before], record(graph={"a": "x"}))
    assert [(one.before, one.now) for one in both] == [("y", "x")], "of any record, each once"
    assert changes_between([UNKNOWN], now) == []
    knows, other, silent = ({"compute": each} for each in ({"a": "float32"}, {"a": "bfloat16"}, {"b": "float32"}))
    assert len(changes_between([record(**knows)], record(**other))) == 1
    assert changes_between([record(**knows)], record(**silent)) == [], "what one side does not know is no change"


def test_a_record_is_written_once_and_read_as_it_was(tmp_path: Path) -> None:
    one, other = record(graph={"a": "x"}), record(graph={"a": "y"})
    write_provenance([one, other, record(graph={"a": "x"})], tmp_path)
    assert [each.facts for each in read_provenance(tmp_path)] == [one.facts, other.facts]
    assert read_provenance(tmp_path / "elsewhere") == ()


def test_of_equal_facts_the_last_origin_stands(tmp_path: Path) -> None:
    first, other = (Provenance(facts={"graph": {"a": name}}, origin={"index": "as it lay"}) for name in ("x", "y"))
    moved = Provenance(facts=first.facts, origin={"index": "moved"})
    write_provenance([first, other, moved], tmp_path)
    assert read_provenance(tmp_path) == (moved, other)


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"made_by": [1]}', '{"made_by": [{"facts": []}]}', "[" * 100_000])
def test_a_damaged_file_is_named(text: str, tmp_path: Path) -> None:
    (tmp_path / PROVENANCE).write_text(text)
    with pytest.raises(SpecError, match=r"provenance\.json is damaged"):
        read_provenance(tmp_path)


def questions(folder: Path, n: int) -> Path:
    path = folder / "questions.jsonl"
    path.write_text("".join(json.dumps({"id": f"q{i}", "question": f"what leave {i}"}) + "\n" for i in range(n)))
    return path


def test_a_batch_that_goes_on_elsewhere_keeps_the_facts_of_both(index: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    with load_pipeline(graph(SCRIPTED), index=index) as pipeline:
        run_batch(questions(tmp_path, 3), pipeline, out=out)
        assert len(read_provenance(out)) == 1
        run_batch(questions(tmp_path, 5), pipeline, out=out, resume=True)
        [first] = read_provenance(out)
        assert first.origin["kind"] == "rag batch"
        assert first.origin["index"] == str(index.absolute())
        told = json.loads((out / PROVENANCE).read_text())
        told["made_by"][0]["facts"]["libraries"]["numpy"] = "0.1"
        (out / PROVENANCE).write_text(json.dumps(told))
        run_batch(questions(tmp_path, 7), pipeline, out=out, resume=True)
    records = read_provenance(out)
    assert [each.facts["libraries"]["numpy"] for each in records] == ["0.1", version("numpy")]


def test_answers_of_before_have_no_facts_and_get_none(index: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    with load_pipeline(graph(SCRIPTED), index=index) as pipeline:
        run_batch(questions(tmp_path, 3), pipeline, out=out)
        (out / PROVENANCE).unlink()
        run_batch(questions(tmp_path, 5), pipeline, out=out, resume=True)
    unknown, known = read_provenance(out)
    assert unknown == UNKNOWN
    assert known.facts["libraries"]["ragline"] == VERSION
