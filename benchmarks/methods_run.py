"""Runs cells of the table of methods: a method on some queries of a set, one line of results per query and first stage."""

from __future__ import annotations

import inspect
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from benchmarks.methods_list import REWRITING, Cell, Method, heads_without
from benchmarks.methods_sets import Bench, Declared
from benchmarks.methods_study import SMALL, Study
from benchmarks.methods_style import style
from benchmarks.remembering import Remembering
from benchmarks.work_lines import Component, Setup, Work, kind_of
from rag.core.types import NO_USAGE, OK, Outcome, Query, Ranking, Usage
from rag.models import resolve
from rag.stages import FUSERS
from ragline_recipes.rewrite_code import RewriteCodeTransform


@dataclass(frozen=True, kw_only=True)
class Found:
    """What a method did for one query over one first stage."""

    ranking: Ranking
    outcome: Outcome = OK
    usage: Usage = NO_USAGE
    style: float | None = None


Timed = tuple[float, Mapping[str, Sequence[Found]]]
"""Seconds that the method took for the batch, and what it did over each first stage."""

Way = Callable[[Cell, Bench, Sequence[Query]], Timed]


class Runner:
    """Opens sets, makes components, runs cells. Everything heavy is loaded when it is first needed, and once."""

    def __init__(self, lines: Work, folder: Path, study: Study = SMALL) -> None:
        self._lines, self._folder, self._study = lines, folder, study
        self._benches: dict[str, Bench] = {}
        self._components: dict[tuple[str, str], Any] = {}
        self._setups: dict[tuple[str, str, str], Setup] = {}

    @cached_property
    def llm(self) -> Any:
        made = kind_of(self._study.llm["use"])(**self._study.llm["with"])
        if not self.remembers:
            return made
        return Remembering(made, kept=self._folder / f"{self._study.name}-replies.jsonl")

    @property
    def remembers(self) -> bool:
        return self._study.remembers

    def bench(self, declared: Declared) -> Bench:
        if declared.name not in self._benches:
            self._benches[declared.name] = Bench(
                declared,
                self._folder,
                rewriting=self._rewriting,
                rewritten_by={"use": "rewrite_code", "with": {"llm": self._study.llm, **REWRITING}},
                queries=self._study.queries,
                hits=self._study.hits,
                vectors=any(first != "bm25" for first in self._study.firsts or ("",)),
            )
        return self._benches[declared.name]

    def missing(self, cell: Cell, size: int) -> list[Query]:
        """Those of the first `size` queries that lack a line of the cell."""
        setups = [self._setup(cell, first) for first in cell.firsts]
        return [
            query
            for query in self.bench(cell.declared).queries[:size]
            if any(self._lines.get(cell.method.name, cell.declared.name, query.qid, each) is None for each in setups)
        ]

    def run(self, cell: Cell, queries: Sequence[Query]) -> None:
        """One batch, and its lines."""
        bench = self.bench(cell.declared)
        ways: dict[str, Way] = {
            "identity": self._plain,
            "rerank": self._reranked,
            "reformulate": self._reformulated,
            "retrieve": self._retrieved,
        }
        self.llm.forget_prefixes()  # what a cell costs must not depend on the cell before it
        seconds, found = ways[cell.method.stage](cell, bench, queries)
        for first, each in found.items():
            for one in each:
                self._lines.add(self._line(cell, bench, first, one, seconds / len(queries)), self._setup(cell, first))

    def _plain(self, cell: Cell, bench: Bench, queries: Sequence[Query]) -> Timed:
        return 0.0, {first: [Found(ranking=r) for r in bench.first(first)(queries)] for first in cell.firsts}

    def _reranked(self, cell: Cell, bench: Bench, queries: Sequence[Query]) -> Timed:
        (first,) = cell.firsts
        given = [replace(ranking, hits=ranking.hits[: self._study.depth]) for ranking in bench.first(first)(queries)]
        reranker = self._component(cell.method, bench)
        started = time.perf_counter()
        made = reranker.rerank(given, k=self._study.depth)
        seconds = time.perf_counter() - started
        return seconds, {first: [Found(ranking=r, outcome=r.outcome, usage=r.usage) for r in made]}

    def _retrieved(self, cell: Cell, bench: Bench, queries: Sequence[Query]) -> Timed:
        (first,) = cell.firsts
        retriever = self._component(cell.method, bench)
        started = time.perf_counter()
        made = retriever.retrieve(queries, k=self._study.hits)
        seconds = time.perf_counter() - started
        return seconds, {first: [Found(ranking=r, outcome=r.outcome, usage=r.usage) for r in made]}

    def _reformulated(self, cell: Cell, bench: Bench, queries: Sequence[Query]) -> Timed:
        reformulator = self._component(cell.method, bench)
        takes_feedback = "feedback" in inspect.signature(reformulator.reformulate).parameters
        ports = [bench.first("bm25")(queries)] if takes_feedback else []
        started = time.perf_counter()
        made = reformulator.reformulate(queries, *ports)
        seconds = time.perf_counter() - started
        fuser = FUSERS.get(cell.method.join)()
        return seconds, {
            first: [
                self._judged(cell, bench, first, [query for query in made if query.qid == ranking.qid], ranking)
                for ranking in fuser.fuse(bench.first(first)(made), k=self._study.hits)
            ]
            for first in cell.firsts
        }

    def _judged(self, cell: Cell, bench: Bench, first: str, made: Sequence[Query], ranking: Ranking) -> Found:
        usage = sum((query.usage for query in made), NO_USAGE)
        alike = None
        if cell.method.use == "reformulate.code":
            alike = style(made[0], bench.wanted(ranking.qid, first), idf=bench.names)
        return Found(ranking=ranking, outcome=made[0].outcome, usage=usage, style=alike)

    def _component(self, method: Method, bench: Bench) -> Any:
        """The method's component for a set, with the shared model and the set's index where it takes them."""
        if (method.name, bench.name) not in self._components:
            described = self._described(method, bench)
            takes = inspect.signature(described.kind).parameters
            shared: dict[str, Callable[[], Any]] = {"llm": lambda: self.llm, "index": lambda: bench.index}
            given = {name: get() for name, get in shared.items() if name in takes}
            self._components[method.name, bench.name] = described.make(**given)
        return self._components[method.name, bench.name]

    def _described(self, method: Method, bench: Bench) -> Component:
        return method.component(bench.name, self._study, filled=lambda value: self._filled(value, bench))

    def _setup(self, cell: Cell, first: str) -> Setup:
        """What the lines of a cell over a first stage are made with."""
        method, bench = cell.method, self.bench(cell.declared)
        if (method.name, bench.name, first) not in self._setups:
            component = None if method.stage == "identity" else self._described(method, bench)
            made = method.setup(bench.name, first, self._study, component, bench.data)
            self._setups[method.name, bench.name, first] = made
        return self._setups[method.name, bench.name, first]

    def _filled(self, value: Any, bench: Bench) -> Any:
        """A parameter, or the path that it stands for."""
        paths: dict[str, Callable[[], Path]] = {
            "{qrels}": lambda: bench.qrels_file,
            "{heads}": lambda: heads_without(bench.declared),
            "{classifier}": lambda: random_classifier(self._folder / "classifier"),
        }
        return paths[value]() if isinstance(value, str) and value in paths else value

    def _rewriting(self) -> RewriteCodeTransform:
        return RewriteCodeTransform(llm=self.llm, **REWRITING)

    def _line(self, cell: Cell, bench: Bench, first: str, found: Found, seconds: float) -> dict[str, Any]:
        usage = found.usage
        return {
            "method": cell.method.name,
            "set": bench.name,
            "first": first,
            "qid": found.ranking.qid,
            **bench.measured(found.ranking),
            **({} if found.style is None else {"style": round(found.style, 6)}),
            "outcome": found.outcome.kind,
            "counts": dict(found.outcome.counts),
            "calls": usage.calls,
            "prompt": usage.prompt_tokens,
            "cached": usage.cached_tokens,
            "new": usage.new_tokens,
            "seconds": round(seconds, 4),
        }


def random_classifier(folder: Path) -> Path:
    """A small sequence classifier of random weights, made once: it shows that the component runs, and no more."""
    if not (folder / "config.json").is_file():
        import torch
        from transformers import AutoTokenizer, BertConfig, BertForSequenceClassification

        tokenizer: Any = AutoTokenizer.from_pretrained(resolve("all-minilm-l6-v2").path)
        sizes = {"hidden_size": 64, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 128}
        with torch.random.fork_rng():
            torch.manual_seed(0)
            model: Any = BertForSequenceClassification
            model(BertConfig(vocab_size=len(tokenizer), num_labels=1, **sizes)).save_pretrained(folder)
        tokenizer.save_pretrained(folder)
    return folder
