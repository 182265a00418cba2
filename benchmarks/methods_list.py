"""The methods of the table, in the order in which they are run, and how much of each is cut to fit four hours.

What a parameter is not named for has the component's default. What was cut, against the papers and the defaults:
passages are shown by the first words that the study says; sorts put the best three in order; self-consistency asks three times;
variants of a reranker are run over bm25 alone; reformulators write two to four texts of 32 to 96 tokens.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from benchmarks.make_samples import HEADS
from benchmarks.methods_sets import FIRSTS, SETS, Bench, Declared
from benchmarks.methods_study import SMALL, Study
from benchmarks.work_lines import Component, Setup, kind_of
from rag.graph.signature import signature
from rag.stages import FUSERS
from ragline_recipes.mean_of_parts import MeanOfPartsEncoder
from ragline_recipes.rewrite_code import RewriteCodeTransform

Kind = Literal["rerank", "reformulate", "retrieve", "rewrite", "backtrace"]

TOP = 3
REWRITING: dict[str, Any] = {"n": 1, "max_tokens": 96, "purpose_tokens": 48}
"""How the corpus of cosqa-300 is rewritten."""


@dataclass(frozen=True, kw_only=True)
class Method:
    """A component and its parameters. `{qrels}`, `{heads}` and `{classifier}` in a parameter become paths of the set.

    `kinds`: the sets that it is for, by kind. `firsts`: the first stages it makes sense with; none named means those of
    the set. `join`: how several queries of one request become one ranking. `differs`: parameters for one set alone.
    """

    name: str
    use: str
    kinds: tuple[Kind, ...]
    params: Mapping[str, Any] = field(default_factory=dict)
    firsts: tuple[str, ...] = ()
    sets: tuple[str, ...] = ()
    join: Literal["rrf", "interleave"] = "rrf"
    differs: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    wiring: bool = False

    @property
    def stage(self) -> str:
        return self.use.partition(".")[0]

    def on(self, declared: Declared) -> bool:
        """Whether it is run on a set."""
        return not set(self.kinds).isdisjoint(declared.kinds) and (not self.sets or declared.name in self.sets)

    def firsts_on(self, declared: Declared, study: Study = SMALL) -> tuple[str, ...]:
        """The first stages of the set that it is run with."""
        wanted = study.reranked if self.stage == "rerank" and study.reranked else self.firsts
        return tuple(
            first
            for first in declared.firsts
            if (not wanted or first in wanted) and (self.stage == "rerank" or not study.firsts or first in study.firsts)
        )

    def params_on(self, name: str, study: Study = SMALL) -> dict[str, Any]:
        params = {**self.params, **self.differs.get(name, {})}
        if self.use.startswith("reformulate.genqr"):
            params["n"] = study.instructions
        if study.written and self.stage == "reformulate" and "max_tokens" in params:
            params["max_tokens"] = min(params["max_tokens"], study.written)
        return params | {"max_words": study.words} if "max_words" in params else params

    @property
    def oracle(self) -> bool:
        """Whether it is shown the judgements: its results say what is possible, not what it can do."""
        return self.params.get("source") == "oracle"

    def settings(self, name: str, first: str, study: Study = SMALL) -> str:
        """Its settings in words, and how the corpus was rewritten where that is searched."""
        params = self.params_on(name, study)
        told = [json.dumps(params, sort_keys=True), f"depth {study.depth}" if self.stage == "rerank" else self.join]
        if study.hits != SMALL.hits:
            told.append(f"lists of {study.hits}")
        if first.endswith("-rewritten"):
            told += ["rewritten", json.dumps(REWRITING, sort_keys=True)]
        return f"{self.use} {' '.join(told)} over {first} by {study.model}"

    def component(
        self, name: str, study: Study = SMALL, *, filled: Callable[[Any], Any] = lambda value: value
    ) -> Component:
        """What is run on a set, which is no first stage. `filled`: what a parameter in braces stands for."""
        kind = kind_of(self.use)
        params = {param: filled(value) for param, value in self.params_on(name, study).items()}
        for param in signature(kind, None).params:
            if param.resource == "llm":
                params[param.name] = study.llm
            elif param.resource == "rerank":  # a reranker that repeats another one
                repeated = kind_of(f"rerank.{params.pop(param.name, param.default)}")
                params[param.name] = Component(repeated, llm=study.llm, **params.pop("params", {}))
        return Component(kind, **params)

    def setup(
        self, name: str, first: str, study: Study, component: Component | None, data: Iterable[Path] = ()
    ) -> Setup:
        """What its lines over a first stage are made with."""
        parts: list[Any] = [] if component is None else [component]
        parts += [*map(kind_of, FIRSTS[first]), Bench.first, FUSERS.get(self.join)]
        if first.endswith("-rewritten"):
            parts.append(Component(RewriteCodeTransform, llm=study.llm, **REWRITING))
        if first == "dense-rewritten":
            parts.append(MeanOfPartsEncoder)
        return Setup.of(*parts, data=data, settings=self.settings(name, first, study))


def heads_without(declared: Declared) -> Path:
    """The heads that were found on the other sets; those of all sets where this one was no part of the search."""
    path = HEADS / f"{declared.folder or declared.name}.json"
    return path if path.is_file() else HEADS / "all.json"


def plain() -> Method:
    """The first stage itself: what all others are compared with."""
    return Method(name="plain", use="identity", kinds=("rerank", "reformulate", "retrieve", "rewrite", "backtrace"))


_ONE = ("bm25", "shipped")  # variants of a method: one first stage of each set has to do


def _rerank(
    name: str, use: str, *, words: bool = True, firsts: tuple[str, ...] = (), wiring: bool = False, **params: Any
) -> Method:
    shown = {"max_words": SMALL.words} if words else {}
    return Method(
        name=name,
        use=f"rerank.{use}",
        kinds=("rerank",),
        params={**shown, **params},
        firsts=firsts,
        wiring=wiring,
    )


def _rerankers() -> Iterator[Method]:
    yield _rerank("query likelihood", "query_likelihood")
    yield _rerank("yes or no", "yes_no")
    yield _rerank("graded, expected", "graded")
    yield _rerank("first token", "first")
    yield _rerank("listwise, RankGPT", "listwise")
    yield _rerank("setwise, heapsort", "setwise", top=TOP)
    yield _rerank("tournament", "tournament")
    yield _rerank("pairwise, all pairs of 8", "pairwise", method="all_pair", depth=8)
    yield _rerank("attention", "attention", words=False, heads="{heads}", max_tokens=48, keep="nowhere")
    yield _rerank("in-context (ICR)", "icr")
    yield _rerank("listwise, LRL", "listwise", firsts=_ONE, template="lrl")
    yield _rerank("graded, peak", "graded", firsts=_ONE, score="peak")
    yield _rerank("setwise, insertion", "setwise", firsts=_ONE, method="insertion", top=TOP)
    yield _rerank("setwise, bubblesort", "setwise", firsts=_ONE, method="bubblesort", top=TOP)
    yield _rerank("setwise, heapsort, written", "setwise", firsts=_ONE, scoring="generation", top=TOP)
    yield _rerank("tournament, letters weighed", "tournament", firsts=_ONE, scoring="likelihood")
    yield _rerank(
        "self-consistency", "self_consistency", words=False, firsts=_ONE, runs=3, params={"max_words": SMALL.words}
    )
    yield _rerank("pairwise, heapsort", "pairwise", firsts=_ONE, method="heapsort", top=TOP)
    yield _rerank("pairwise, sliding", "pairwise", firsts=_ONE, method="sliding", top=TOP)
    yield _rerank(
        "cross-encoder, random weights", "cross_encoder", words=False, firsts=_ONE, wiring=True, model="{classifier}"
    )


def _reformulate(
    name: str,
    use: str,
    *,
    kinds: tuple[Kind, ...] = ("reformulate",),
    firsts: tuple[str, ...] = (),
    sets: tuple[str, ...] = (),
    join: Literal["rrf", "interleave"] = "rrf",
    differs: Mapping[str, Mapping[str, Any]] | None = None,
    **params: Any,
) -> Method:
    return Method(
        name=name,
        use=f"reformulate.{use}",
        kinds=kinds,
        firsts=firsts,
        sets=sets,
        join=join,
        differs=differs or {},
        params=params,
    )


_HYDE = {"scifact": {"prompt": "hyde_claim"}}
_DENSE = ("hybrid",)  # what has no lexical form would be the plain query for bm25
_GENQR: dict[str, Any] = {"max_tokens": 32}
_FED: dict[str, Any] = {**_GENQR, "m": 3, "max_words": SMALL.words}


def _reformulators() -> Iterator[Method]:
    yield _reformulate("RM3", "rm3")
    yield _reformulate("Query2doc", "query2doc", max_tokens=64)
    yield _reformulate("HyDE", "hyde", n=2, max_tokens=64, differs=_HYDE, firsts=_DENSE)
    yield _reformulate("multi-query", "multi_query", max_tokens=96)
    yield _reformulate("GenQREnsemble", "genqr_ensemble", **_GENQR)
    yield _reformulate("tool queries, interleaved", "tool_query", sets=("toollens",), join="interleave", max_tokens=96)
    yield _reformulate("tool queries, RRF", "tool_query", sets=("toollens",), max_tokens=96)
    yield _reformulate("example code", "code", sets=("cosqa",), n=2, max_tokens=96)
    yield _reformulate("step back", "step_back")
    yield _reformulate("decompose", "decompose", max_tokens=96)
    yield _reformulate("GenQRFusion", "genqr_fusion", **_GENQR)
    yield _reformulate("SL-HyDE, not its weights", "sl_hyde", max_tokens=64, firsts=_DENSE)
    yield _reformulate("thoughts, not O1's weights", "think", n=2, max_tokens=48, firsts=_DENSE)
    yield _reformulate("GenQREnsemble-RF", "genqr_ensemble_rf", **_FED)
    yield _reformulate("GenQRFusion-RF", "genqr_fusion_rf", **_FED)
    yield _reformulate("GenQREnsemble-RF, critic", "genqr_ensemble_rf", source="critic", depth=5, **_FED)
    yield _reformulate("GenQREnsemble-RF, oracle", "genqr_ensemble_rf", source="oracle", qrels="{qrels}", **_FED)


def _others() -> Iterator[Method]:
    yield Method(name="dense alone", use="retrieve.dense", kinds=("retrieve", "backtrace"), firsts=("bm25",))
    yield _reformulate("example code", "code", kinds=("rewrite",), n=2, max_tokens=96)
    for form in ("single", "autoregressive", "causal", "causal_full"):
        yield Method(
            name=f"backtrace, {form.replace('_', ' ')}",
            use="retrieve.backtrace",
            kinds=("backtrace",),
            params={"form": form, **({} if form == "single" else {"window": 20})},
            differs={} if form == "single" else {"backtracing-news": {"window": None}},  # articles are read whole
        )


METHODS = (plain(), *_rerankers(), *_reformulators(), *_others())


@dataclass(frozen=True, kw_only=True)
class Cell:
    """What is run as one: a method on a set. What a reformulator writes serves all first stages, so they are one cell."""

    method: Method
    declared: Declared
    firsts: tuple[str, ...]

    def __str__(self) -> str:
        return f"{self.declared.name}: {self.method.name} ({', '.join(self.firsts)})"


def cells(study: Study = SMALL) -> list[Cell]:
    """All of a study, in the order in which they are run: by method and then by set.

    Rerankers over the hybrid come when all else had its turn, and the named subsets come last.
    """
    made = [
        cell
        for method in METHODS
        for declared in SETS.values()
        if study.has(method.name, declared.name)
        for cell in _cells(method, declared, study)
    ]
    return sorted(
        made, key=lambda cell: (cell.declared.late, cell.method.stage == "rerank" and cell.firsts == ("hybrid",))
    )


def _cells(method: Method, declared: Declared, study: Study) -> Iterator[Cell]:
    firsts = method.firsts_on(declared, study) if method.on(declared) else ()
    if method.stage == "rerank":
        yield from (Cell(method=method, declared=declared, firsts=(first,)) for first in firsts)
    elif firsts:
        yield Cell(method=method, declared=declared, firsts=firsts)
