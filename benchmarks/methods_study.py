"""Studies: the same methods by models of two sizes, each with its own lines and its own page."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from benchmarks.model_server import served_at, served_part
from benchmarks.record import RESULTS

OTHERS = RESULTS / "methods_queries_other.jsonl"
"""Lines of models that have no page."""

ENGINES: dict[str, dict[str, Any]] = {
    "transformers": {"use": "llm.transformers", "with": {"max_batch_tokens": 16384}},
    "vllm": {"use": "llm.vllm_offline", "with": {"kv_cache_gib": 4, "max_model_len": 4096}},
}
"""Tokens that the model reads at a time are the bound on memory, however many queries a batch has."""


@dataclass(frozen=True, kw_only=True)
class Study:
    """A model, and how much of the table is run with it.

    `engine`: what reads and writes. `methods` and `sets`: names of those that are run; none named means all. `queries`: of
    each set, where its list has so many. `depth`: hits that rerankers read, and `words` of each. `reranked`: the first
    stages that they read, and `firsts` those of all else; none named means all. `instructions`: those of the ten that GenQR
    asks. `written`: the most tokens that a reformulator writes; 0 leaves each what it is listed with. `hits`: of every list that
    is fused or measured. `remembers`: what two methods ask is asked once, a few queries at a time, and its seconds are no
    figure. `says`: what the page says of the model. `page`: its name without suffix.
    """

    name: str
    model: str
    size: str
    says: str
    engine: Literal["transformers", "vllm"] = "transformers"
    depth: int
    words: int
    queries: int
    lines: Path
    page: str
    methods: tuple[str, ...] = ()
    sets: tuple[str, ...] = ()
    reranked: tuple[str, ...] = ()
    firsts: tuple[str, ...] = ()
    instructions: int = 4
    written: int = 0
    hits: int = 100
    remembers: bool = False

    def of_model(self, model: str) -> Study:
        """The same with another model: lines of their own, and no page."""
        return replace(self, name=f"{self.name}, {model}", model=model, size=model, lines=OTHERS, page="")

    @property
    def llm(self) -> dict[str, Any]:
        """The model, as a part of a graph."""
        if served_at():
            return served_part(self.model)
        part = ENGINES[self.engine]
        return {**part, "with": {"model": self.model, **part["with"]}}

    def has(self, method: str, name: str) -> bool:
        """Whether a method is run on a set. The first stage itself always is."""
        return self.has_method(method) and (not self.sets or name in self.sets)

    def has_method(self, method: str) -> bool:
        """Whether a method is run at all."""
        return not self.methods or method in (*self.methods, "plain")


SMALL = Study(
    name="small",
    model="smollm2-135m-instruct",
    size="135M, 20 hits",
    says="(135 million parameters). It is weak: these figures tell what each method costs and how often its output had to "
    "be mended, and whether a model of this size gains by it. They do not tell how the methods compare on a large model",
    depth=20,
    words=32,
    queries=20,
    lines=RESULTS / "methods_queries.jsonl",
    page="methods",
    firsts=("bm25", "hybrid", "shipped", "bm25-rewritten"),
)
LARGE = Study(
    name="large",
    model="qwen2.5-coder-1.5b-instruct",
    size="1.5B, 10 hits",
    engine="vllm",
    says="(1.5 billion parameters, made for code) in vLLM. Twelve methods, beside [all of them on one of 135 "
    "million](methods.md), whose rerankers read twice as many hits",
    depth=10,
    words=64,
    queries=40,
    reranked=("hybrid",),
    lines=RESULTS / "methods_queries_1.5b.jsonl",
    page="methods_1.5b",
    methods=(
        "query likelihood",
        "yes or no",
        "first token",
        "listwise, RankGPT",
        "setwise, heapsort",
        "pairwise, sliding",
        "multi-query",
        "HyDE",
        "Query2doc",
        "GenQRFusion",
        "tool queries, RRF",
        "example code",
    ),
    sets=("scifact", "cranfield", "cosqa", "toollens"),
)
STUDIES = {study.name: study for study in (SMALL, LARGE)}

SMOKE = replace(
    SMALL,
    name="smoke",
    depth=3,
    words=16,
    instructions=2,
    written=6,
    queries=1,
    reranked=("bm25",),
    lines=Path("runs/methods_smoke.jsonl"),
    page="",
)
"""Whether all of it still runs: its figures mean nothing, and it has no page."""

GENQR = Study(
    name="genqr",
    model="qwen2.5-coder-1.5b-instruct",
    size="1.5B",
    engine="vllm",
    says="in vLLM",
    depth=10,
    words=64,
    queries=40,
    firsts=("bm25",),
    instructions=10,
    hits=1000,
    remembers=True,
    lines=RESULTS / "methods_genqr.jsonl",
    page="",
    methods=("GenQRFusion", "GenQREnsemble"),
    sets=("trec-dl19-pool", "scifact", "cranfield", "cosqa"),
)
"""GenQR as its paper has it: all ten instructions, over BM25, lists of a thousand. A set takes 400 calls, for what both ask is
asked once."""
RECO = replace(
    SMALL,
    name="reco",
    lines=RESULTS / "methods_reco.jsonl",
    page="",
    methods=("example code",),
    sets=("cosqa-300",),
    firsts=("bm25", "bm25-rewritten", "dense", "dense-rewritten"),
)
"""ReCo over words and over vectors: the functions as they are, and rewritten."""
ALONE = {study.name: study for study in (SMOKE, GENQR, RECO)}
"""Studies without a page of their own."""
