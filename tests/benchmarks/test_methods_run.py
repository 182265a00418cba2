"""A run that is killed and begun again: nothing that is done is asked twice, and nothing is left out."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from benchmarks.methods import run
from benchmarks.methods_list import Cell, cells
from benchmarks.methods_run import Runner
from benchmarks.work_lines import Work
from generators.llm.scripted import ScriptedLLM
from rag.core.ranking import in_this_order
from rag.core.types import Document, Query, Ranking

TWENTY = [Query(qid=f"q{at}", text=f"text {at}") for at in range(20)]


class Killed(BaseException):
    """What a kill looks like from within."""


class Model(ScriptedLLM):
    """Writes three wordings; dies at its call number `dies_at`."""

    def __init__(self, dies_at: int = 0) -> None:
        super().__init__(replies=("one\ntwo\nthree",))
        self.dies_at = dies_at

    def forget_prefixes(self) -> None:
        """Nothing is kept."""

    def complete(self, prompts: Any, params: Any) -> Any:
        if len(self.batches) + 1 == self.dies_at:
            raise Killed
        return super().complete(prompts, params)


class Bench:
    """Twenty queries, each of which finds one document."""

    name, queries, data = "scifact", TWENTY, ()

    def first(self, name: str) -> Callable[[Sequence[Query]], list[Ranking]]:
        hits = in_this_order([Document(doc_id="d", text="")])
        return lambda queries: [Ranking(query=query, hits=hits, source=name) for query in queries]

    def measured(self, ranking: Ranking) -> dict[str, float]:
        return {"nDCG@10": float(len(ranking.hits))}


@pytest.fixture
def cell() -> Cell:
    (found,) = (c for c in cells() if c.method.name == "multi-query" and c.declared.name == "scifact")
    return found


def runner(path: Path, model: Model) -> Runner:
    made = Runner(Work(path), path.parent)
    made.__dict__["llm"] = model
    made._benches["scifact"] = Bench()  # type: ignore[assignment]
    return made


def asked(model: Model) -> list[str]:
    return [prompt[-1].content.rpartition("Query: ")[2].strip() for prompt in model.seen]


def test_a_run_that_was_killed_goes_on_with_what_is_missing(tmp_path: Path, cell: Cell) -> None:
    path, dying, again, idle = tmp_path / "lines.jsonl", Model(dies_at=2), Model(), Model()
    run(runner(path, dying), [cell], limit=2, minutes=1)
    with pytest.raises(Killed):
        run(runner(path, dying), [cell], limit=20, minutes=1)
    assert asked(dying) == ["text 0", "text 1"]  # the batch of the others is lost
    assert [q.qid for q in runner(path, again).missing(cell, 20)] == [q.qid for q in TWENTY[2:]]
    assert run(runner(path, again), [cell], limit=20, minutes=1) == []
    assert asked(again) == [q.text for q in TWENTY[2:]]
    assert again.batches == [18]
    assert run(runner(path, idle), [cell], limit=20, minutes=1) == []
    assert idle.batches == []
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    assert {(line["qid"], line["first"]) for line in lines} == {(q.qid, f) for q in TWENTY for f in ("bm25", "hybrid")}
    assert len(lines) == 40
    assert {(line["calls"], line["counts"]["ok"], line["nDCG@10"]) for line in lines} == {(1, 1, 1.0)}


def test_a_query_with_half_of_its_lines_is_asked_again(tmp_path: Path, cell: Cell) -> None:
    path, model = tmp_path / "lines.jsonl", Model()
    run(runner(path, Model()), [cell], limit=20, minutes=1)
    lines = path.read_text().splitlines(keepends=True)
    path.write_text("".join(lines[:-1]) + lines[-1][:30])  # a kill within the last line
    lost = json.loads(lines[-1])["qid"]
    assert [q.qid for q in runner(path, model).missing(cell, 20)] == [lost]
    run(runner(path, model), [cell], limit=20, minutes=1)
    assert model.batches == [1]
    assert runner(path, model).missing(cell, 20) == []


def test_time_that_is_up_begins_no_batch(tmp_path: Path, cell: Cell) -> None:
    model = Model()
    assert run(runner(tmp_path / "lines.jsonl", model), [cell], limit=20, minutes=0) == []
    assert model.batches == []
