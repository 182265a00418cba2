from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from rag.cli import main
from rag.core.errors import MissingModel, SpecError
from rag.core.memory import GIB, LIMIT, RAM, Machine, Need
from rag.graph.check import check
from rag.graph.load import load_spec
from rag.indexing import build_index
from rag.pipeline import load_pipeline
from rag.pipeline.memory_plan import MemoryPlan, plan_memory, plan_turns, require_room
from retrievers.index.directory import LocalIndex
from retrievers.index.settings import IndexSettings
from retrievers.legs.dense.settings import DenseSettings
from tests.generators.llm.conftest import save_random_model
from tests.tiny_models import tiny_sentence_model

SMALL = Machine(ram=4 * GIB, said_by="the hardware", gpus={"cuda:0": 2 * GIB})


class Part:
    def __init__(self, *needs: Need, missing: bool = False) -> None:
        self.needs, self.missing = needs, missing

    def memory(self) -> Sequence[Need]:
        if self.missing:
            raise MissingModel("model 'x' is not here")
        return self.needs


def planned(machine: Machine = SMALL, **parts: Any) -> MemoryPlan:
    graph: Any = SimpleNamespace(models={}, parts=parts, inner_parts={}, facts={}, legs=())
    return plan_memory(graph, machine=machine)


def test_needs_add_up_by_place() -> None:
    plan = planned(a=Part(Need(what="x", n_bytes=1 * GIB), Need(what="y", n_bytes=GIB, where="cuda:0")), b=object())
    assert plan.total("cuda:0") == GIB
    assert plan.total(RAM) - GIB == next(share for share in plan.shares if share.part == "program").n_bytes
    assert plan.problems == ()


def test_one_copy_counts_once_and_says_whose_it_is() -> None:
    weights = Need(what="weights", n_bytes=GIB, copy="mark")
    plan = planned(a=Part(weights), b=Part(weights), c=Part(Need(what="weights", n_bytes=GIB, copy="other")))
    counted = {share.part: share.n_bytes for share in plan.shares}
    assert (counted["node 'a'"], counted["node 'b'"], counted["node 'c'"]) == (GIB, 0, GIB)
    assert any("node 'b'" in line and "that of node 'a'" in line for line in plan.table())


def test_pages_of_files_are_shown_and_not_counted() -> None:
    plan = planned(a=Part(Need(what="vectors", n_bytes=900 * GIB, mapped=True)))
    assert plan.problems == ()
    assert any("900.00 GiB mapped" in line for line in plan.table())


@pytest.mark.parametrize(
    ("need", "said"),
    [
        (
            Need(what="weights", n_bytes=5 * GIB, smaller="lower it"),
            r"can need 5\.\d+ GiB of RAM, but the hardware allows 4\.00 GiB\. Largest: node 'a' weights 5\.00 GiB"
            r".*lower it.*RAGLINE_MEMORY_GIB",
        ),
        (Need(what="weights", n_bytes=3 * GIB, where="cuda:0"), r"can need 3\.00 GiB of cuda:0, but it has 2\.00 GiB"),
    ],
)
def test_what_cannot_fit_is_refused_with_numbers(need: Need, said: str) -> None:
    with pytest.raises(SpecError, match=said):
        require_room([planned(a=Part(need))])


def test_what_nobody_knows_refuses_nothing() -> None:
    huge = Part(Need(what="weights", n_bytes=1 << 60), Need(what="weights", n_bytes=1 << 60, where="cuda:7"))
    plan = planned(Machine(ram=None, said_by="nobody"), a=huge, b=Part(missing=True))
    require_room([plan])
    assert plan.notes == ("node 'b' is not counted: model 'x' is not here",)
    assert plan.table()[-1] == f"note: {plan.notes[0]}"


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A graph file, and an index with both legs for it."""
    folder = tmp_path_factory.mktemp("plan")
    model = save_random_model(folder / "model")
    encoder = tiny_sentence_model(folder / "encoder")
    (folder / "texts").mkdir()
    (folder / "texts" / "leave.md").write_text("paid leave is thirty days")
    settings = IndexSettings(dense=DenseSettings(encoder=str(encoder)))
    build_index([folder / "texts"], folder / "idx", settings=settings)
    graph = folder / "graph.yaml"
    graph.write_text(f"""
version: 1
index: {{dense: {{encoder: {encoder}}}}}
models:
  reader: {{use: llm.transformers, with: {{model: {model}, dtype: float32, device: cpu, max_batch_tokens: 1000}}}}
  writer: {{use: llm.transformers, with: {{model: {model}, dtype: float32, device: cpu, max_batch_tokens: 1000}}}}
nodes:
  bm25: {{use: retrieve.bm25, k: 4}}
  dense: {{use: retrieve.dense, k: 4}}
  fused: {{use: fuse.rrf, in: [bm25, dense], k: 4}}
  ranked: {{use: rerank.attention, in: fused, k: 2, with: {{llm: reader, keep: memory, keep_mb: 64}}}}
  icr: {{use: rerank.icr, in: ranked, k: 2, with: {{llm: reader, depth: 2, max_words: 10}}}}
  context: {{use: assemble.token_budget, in: icr, with: {{llm: writer, max_tokens: 60}}}}
  answer: {{use: generate.cited, in: context, with: {{llm: writer, max_tokens: 4}}}}
output: answer
""")
    return graph, folder / "idx"


def test_a_graph_is_planned_part_by_part(files: tuple[Path, Path]) -> None:
    graph, place = files
    with LocalIndex.open(place) as index:
        plan = plan_memory(check(load_spec(graph), index=index), index=index, machine=SMALL)
    found = {(share.part, share.need.what): share for share in plan.shares}
    weights = found["model 'reader'", "weights in float32"]
    assert weights.n_bytes == 4 * _parameters(files)
    assert found["model 'writer'", "weights in float32"].with_ == "model 'reader'"
    assert found["node 'ranked'", "kept states"].n_bytes == 64 << 20
    # keys and values of 2 layers of 2 heads of 8; 40 tokens are 2 documents of 10 words
    assert found["node 'icr'", "a prompt of 40 tokens"].n_bytes > 40 * 2 * 2 * 2 * 8 * 4
    assert found["index", "vectors"].need.mapped
    # Float32 or bfloat16, whichever is faster on this processor.
    assert [
        n.n_bytes > 0 for (part, what), n in found.items() if (part, what[:18]) == ("index", "encoder weights in")
    ] == [True]
    assert {part for part, _ in found} == {
        "program",
        "model 'reader'",
        "model 'writer'",
        "node 'ranked'",
        "node 'icr'",
        "index",
    }
    assert plan.notes == plan.wrong == ()


def test_without_an_index_the_plan_says_what_it_lacks(files: tuple[Path, Path]) -> None:
    plan = plan_memory(check(load_spec(files[0])), machine=SMALL)
    assert any("--index DIR" in note for note in plan.notes)
    assert any(share.part == "model 'reader'" for share in plan.shares)


def _parameters(files: tuple[Path, Path]) -> int:
    from rag.models.sizes import count_parameters

    return count_parameters(files[0].parent / "model")


def test_check_and_loading_refuse_in_the_same_words(
    files: tuple[Path, Path], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    graph, place = files
    monkeypatch.setenv(LIMIT, "0.1")
    with pytest.raises(SpecError, match=f"{LIMIT} allows 102 MiB") as refused:
        load_pipeline(graph, index=place)
    assert main(["check", str(graph), "--index", str(place)]) == 2
    assert str(refused.value) in capsys.readouterr().err
    assert main(["ask", "leave", "--graph", str(graph), "--index", str(place)]) == 2
    assert str(refused.value) in capsys.readouterr().err
    with load_pipeline(graph, index=place, memory_gib=float("inf")) as pipeline:
        assert pipeline.search("leave").doc_ids
    monkeypatch.delenv(LIMIT)
    assert main(["check", str(graph), "--index", str(place), "--memory"]) == 0
    said = capsys.readouterr().out
    assert "that of model 'reader'" in said
    assert "all parts" in said


def test_a_device_that_is_not_there_is_refused_before_loading(files: tuple[Path, Path], tmp_path: Path) -> None:
    import torch

    if torch.cuda.is_available():
        pytest.skip("this machine has a GPU")
    graph = tmp_path / "graph.yaml"
    graph.write_text(files[0].read_text().replace("device: cpu", "device: cuda"))
    with pytest.raises(SpecError, match="device 'cuda' is not here"):
        load_pipeline(graph, index=files[1])


def test_by_stage_only_the_largest_stage_must_fit(
    files: tuple[Path, Path], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    graph, place = files
    with LocalIndex.open(place) as index:
        checked = check(load_spec(graph), index=index)
        (whole,) = plan_turns(checked, by_stage=False, index=index, machine=SMALL)
        by_node = dict(zip(checked.parts, plan_turns(checked, by_stage=True, index=index, machine=SMALL), strict=True))
    assert {share.part for share in by_node["ranked"].shares} == {"program", "model 'reader'", "node 'ranked'"}
    assert {share.part for share in by_node["dense"].shares} == {"program", "index"}
    assert {share.part for share in by_node["fused"].shares} == {"program"}
    largest = max(plan.total() for plan in by_node.values())
    assert largest < whole.total()
    between = (largest + whole.total()) / 2 / GIB
    with pytest.raises(SpecError, match="the graph can need"):
        load_pipeline(graph, index=place, memory_gib=between)
    with load_pipeline(graph, index=place, memory_gib=between, by_stage=True) as pipeline:
        assert pipeline.run(["leave"]).answers
    monkeypatch.setenv(LIMIT, str(between))
    assert main(["check", str(graph), "--index", str(place)]) == 2
    assert main(["check", str(graph), "--by-stage"]) == 0
    assert "node 'answer' alone:" in capsys.readouterr().out
    monkeypatch.setenv(LIMIT, "0.2")
    assert main(["check", str(graph), "--index", str(place), "--by-stage"]) == 2
    assert "memory: node 'ranked' alone can need" in capsys.readouterr().err
