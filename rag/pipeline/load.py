"""A graph made ready to run: checked, bound to an index, held against this machine and what is on it."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from rag.core.errors import MissingDependency, SpecError
from rag.core.memory import Machine, this_machine
from rag.graph.build import Graph, build
from rag.graph.load import load_spec
from rag.graph.rewire import with_patience
from rag.graph.spec import GraphSpec, Spec
from rag.graph.writer import with_writer
from rag.pipeline.calibrated import calibrated, require_calibrated
from rag.pipeline.loaded import models_loaded, models_of_parts, require_known_models, require_local_models
from rag.pipeline.memory_plan import plan_turns, require_room
from rag.pipeline.pipeline import Pipeline
from retrievers.index.joined import joined_address
from retrievers.index.opening import open_index
from retrievers.index_protocol import Index

logger = logging.getLogger(__name__)


def load_pipeline(
    graph: str | Path | dict[str, Any] | GraphSpec = "ask",
    *,
    index: str | Path | Index | Sequence[str | Path] | None = None,
    model: str | None = None,
    url: str | None = None,
    calibration: str | Path | None = None,
    risk: float | None = None,
    confidence: float | None = None,
    min_relevance: float = 0.0,
    offline: bool = False,
    memory_gib: float | None = None,
    by_stage: bool = False,
    patience: float | None = None,
) -> Pipeline:
    """Check a graph, bind it to an index, and make it ready. Loads no weights.

    Where the machine is too small for a graph that names another with `otherwise`, that one is loaded; a warning and
    `Pipeline.instead` say why.

    Args:
        graph: a built-in name (`rag list graph`), a YAML file, plain data or a GraphSpec.
        index: an index directory or other address (see `open_index`), a list of them to be searched as one, or an open
            Index, which stays its owner's to close. Graphs that search need one.
        model, url: another model that writes, in this process or at a server; see `rag.graph.writer.with_writer`.
        calibration: a file of `rag calibrate`: hits get their relevance, and answers that are less sure than it allows are
            refused; see `rag.graph.rewire.with_calibration`.
        risk, confidence: others than the calibration's.
        min_relevance: hits that are worth less are left out; from 0 to 1.
        offline: fail now, naming what is missing, instead of fetching a model later.
        memory_gib: RAM that the graph's parts may need, in GiB; None asks $RAGLINE_MEMORY_GIB and then the machine, inf
            lets anything pass. See `rag.pipeline.memory_plan`.
        by_stage: each node works alone in memory, so only the largest must fit; see `Pipeline`.
        patience: seconds that passages may be read before the first word, where somebody waits; see `assemble.token_budget`.
            None reads them however long it takes, so that an answer does not depend on how fast the machine is. A calibrated
            graph reads as it did when it was calibrated.
    Raises:
        SpecError: the graph is wrong, all problems at once; its parts can need more memory than there is; or a calibration
            in it was made for another graph or index.
        IndexProblem, IndexMismatch: the index is damaged, or was built another way than the graph asks for.
        MissingModel: no model can be meant by a name; or `offline`, and a model is not on this machine.
    """
    spec = with_writer(load_spec(graph), model=model, url=url)
    spec = calibrated(spec, calibration, risk=risk, confidence=confidence, min_relevance=min_relevance)
    spec = spec.model_copy(update={"graph": with_patience(spec.graph, patience)})
    bound = _opened(index)
    found = _fitting(spec, index=bound, machine=this_machine(memory_gib=memory_gib), by_stage=by_stage)
    if bound is not None:
        bound.check(found.graph.spec.graph.index, found.graph.legs)
    require_calibrated(found.graph, bound)
    require_known_models(models_of_parts(found.graph))
    if offline:
        require_local_models(models_loaded(found.graph, bound))
    for told in filter(None, (found.instead, found.graph.spec.graph.note)):
        logger.warning("%s", told)
    return Pipeline(found.graph, index=bound, owns_index=bound is not index, by_stage=by_stage, instead=found.instead)


def successor(pipeline: Pipeline, index: Index) -> Pipeline:
    """A pipeline of the same graph over another index, whose documents and legs are loaded.

    Models, and parts that search no index, are those of `pipeline`; both can be used side by side.

    Raises:
        RagError: the index cannot serve the graph, is damaged, or needs a model that is not here or more memory than
            there is.
    """
    graph = build(pipeline.spec, index=index, kept=pipeline.graph.facts)
    index.check(graph.spec.graph.index, graph.legs)
    require_room(plan_turns(graph, by_stage=pipeline.by_stage, index=index, machine=this_machine()))
    assert index.documents is not None
    for leg in graph.legs:
        index.leg(leg).warm_up()
    return Pipeline(graph, index=index, by_stage=pipeline.by_stage, instead=pipeline.instead)


def _opened(index: str | Path | Index | Sequence[str | Path] | None) -> Index | None:
    if isinstance(index, str | Path):
        return open_index(index)
    if isinstance(index, list | tuple):
        return open_index(index[0] if len(index) == 1 else joined_address(index))
    return cast("Index | None", index)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Fitting:
    """A graph whose parts fit the machine. `instead`: why it is not the one that was asked for; empty if it is."""

    graph: Graph
    instead: str = ""


def _fitting(spec: Spec, *, index: Index | None, machine: Machine, by_stage: bool = False) -> _Fitting:
    """Build a graph, or what it names with `otherwise` if a package is missing or the memory does not suffice.

    The index is held against the graph that is taken. Loads no weights.

    Raises:
        SpecError: the graph is wrong; or it does not fit, and names no other.
        MissingDependency: a package is missing, and it names no other.
    """
    seen: list[str] = []
    reasons: list[str] = []
    while True:
        problem: SpecError | MissingDependency | None
        try:
            built = build(spec, index=index)
            problem = _too_large(built, index=index, machine=machine, by_stage=by_stage)
        except MissingDependency as cause:
            problem = cause
        if problem is None:
            return _Fitting(graph=built, instead=" ".join(reasons))
        other = spec.graph.otherwise
        if other is None or other in seen:
            raise problem
        seen.append(other)
        reasons.append(f"Graph '{other}' answers, for {spec.source.name} does not fit here: {problem}")
        spec = load_spec(other)


def _too_large(graph: Graph, *, index: Index | None, machine: Machine, by_stage: bool) -> SpecError | None:
    try:
        require_room(plan_turns(graph, by_stage=by_stage, index=index, machine=machine))
    except SpecError as problem:
        return problem
    return None
