"""Facts of a graph, found by a model that chooses one relation a step."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from time import perf_counter
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

import prompts
from rag.filters import Filter, WhereData, both, matches, parse_where, parted
from rag.protocols import ChoosingLLM
from rag.ranking import require_k
from rag.types import NO_USAGE, Document, Outcome, Query, Ranking, ScoredDocument, Usage
from rag.writing import Recipe, choose_each, first_of, input_file, require_choosing, require_positive
from ragline_recipes.options import between, options_of
from ragline_recipes.triples import Triple, TripleGraph

STOP = "stop here"
_TOLD = 20  # relations that a message names


@dataclass(frozen=True, slots=True, kw_only=True)
class Path:
    """A walk so far: where it stands, what it followed, and how likely the model found its steps (natural logarithm)."""

    start: str
    entities: tuple[str, ...]
    moves: tuple[str, ...] = ()
    steps: tuple[tuple[Triple, ...], ...] = ()
    seen: frozenset[str] = frozenset()
    score: float = 0.0
    ended: bool = False


@dataclass(slots=True, kw_only=True)
class _Walk:
    """All paths of a query that are still followed. `options`: entity -> the option that names it. `within`: the triples on
    the ways to them; None where the question has no options that the graph knows."""

    query: Query
    asked: str
    where: Filter | None
    paths: list[Path]
    options: Mapping[str, str] = field(default_factory=dict)
    within: frozenset[Triple] | None = None
    usage: Usage = NO_USAGE
    steps: int = 0


class WalkRetriever:
    """Facts along a walk through a graph of triples (Knowledge Solver: Feng et al., 2023, arXiv 2309.03118).

    The walk begins at the entities that the question names. At each step the model is shown the question, the way so far
    and the relations that lead on, and says how likely it finds each of them, or to stop. The best `beam` ways go on. Hits
    are the triples of the best way, in the order of the walk; the last ones end in the answer. Each has `hop` and `reached`
    in its metadata. A question that names no entity has no hits, outcome `empty`.

    Where the question lists options at its end ("A. Paris", a line each) and the graph knows some, the walk keeps to the facts
    that lie on ways to them, and ends where it reaches one: its hits have `option` in their metadata, and the outcome tells
    it. Otherwise it ends where the model says so, or after `hops` steps. The outcome's detail is the way.

    A step follows a relation to all that it leads to, and never back to where the walk was. A filter of the query is held
    against head, relation and tail of every triple. Costs at most `hops` times
    `beam` calls a query, and no search; all queries of a batch go in step.

    Differs from the paper: a step is a relation and not a neighbour, and is scored and not parsed from a text; the paper's
    fine-tuning is not here.

    Args:
        llm: the model; it must be able to choose from a closed list.
        triples: path of a file with head, relation and tail a line, tabs between; read at the first call.
        prompt: name or path of a prompt with the variables question, path and moves.
        hops: steps, at most. How many are taken is for the model, or for the option that is reached.
        beam: ways that are followed side by side.
        back: also follow relations from tail to head; such a move is called `children of`.
        moves: relations that are shown at a step, at most: those that share words with the question first.
        where: a filter that holds beside the query's own: {"relation": ["spouse", "parents"]}, or text.
    """

    recipe: ClassVar[Recipe] = Recipe(system="Knowledge Solver", source="Feng et al., arXiv 2309.03118")

    def __init__(
        self,
        *,
        llm: ChoosingLLM,
        triples: str,
        prompt: str = "walk",
        hops: int = 4,
        beam: int = 2,
        back: bool = False,
        moves: int = 20,
        where: WhereData | None = None,
    ) -> None:
        require_positive("retrieve.walk", hops=hops, beam=beam, moves=moves)
        self.llm = require_choosing(llm, by="retrieve.walk")
        self._file = input_file(triples, what="file of triples", by="retrieve.walk")
        self.hops, self.beam, self.back, self.moves = hops, beam, back, moves
        self._where = parse_where(where)
        self.prompt = prompts.load(prompt)
        self.prompt.require("question", "path", "moves", by="retrieve.walk")
        self._graph: TripleGraph | None = None
        self._lock = threading.Lock()

    def warm_up(self) -> None:
        """Read the file now instead of at the first call."""
        self._read()

    def retrieve(self, queries: Sequence[Query], *, k: int) -> list[Ranking]:
        """One ranking per query, in order: the triples of the best way, scores falling with the step.

        Raises:
            ValueError: k is below 1.
            SpecError: a line of the file is malformed.
        """
        require_k(k, by="retrieve.walk")
        graph = self._read()
        walks = [self._walk(graph, query) for query in queries]
        for _ in range(self.hops):
            asked = [
                (walk, path, moves)
                for walk in walks
                for path in walk.paths
                if not path.ended and (moves := self._moves(graph, walk, path))
            ]
            if not asked:
                break
            self._step(walks, asked)
        return [_ranking(walk, k, graph) for walk in walks]

    def _walk(self, graph: TripleGraph, query: Query) -> _Walk:
        """Where a walk begins, and what it may follow."""
        asked, options = options_of(query.text)
        named = graph.named_in(asked)
        known = {entity: option for option in options for entity in graph.named_in(option) if entity not in named}
        within = between(graph, named, known, hops=self.hops, back=self.back) if known else frozenset()
        return _Walk(
            query=query,
            asked=asked,
            where=parted(both(self._where, query.where)).where,  # a fact has no labels and no versions
            paths=_begun(named),
            options=known if within else {},
            within=within or None,
        )

    def _step(self, walks: Sequence[_Walk], asked: Sequence[tuple[_Walk, Path, dict[str, list[Triple]]]]) -> None:
        """Take one step on every way that can go on, and keep the best of each query."""
        begun = perf_counter()
        rendered = [
            self.prompt.render(question=walk.asked, path=_way(path), moves="\n".join([*moves, *_stop(walk, path)]))
            for walk, path, moves in asked
        ]
        chosen: dict[int, tuple[NDArray[np.float64], Usage]] = {}
        choices = [(*moves, *_stop(walk, path)) for walk, path, moves in asked]
        for shared in dict.fromkeys(choices):  # what is chosen from is one list for all prompts of a call
            places = [place for place, listed in enumerate(choices) if listed == shared]
            rows = choose_each(self.llm, [rendered[place] for place in places], shared)
            chosen |= dict(zip(places, rows, strict=True))
        seconds = (perf_counter() - begun) / len(asked)
        going = {id(path) for _, path, _ in asked}
        found: dict[int, list[Path]] = {id(walk): [p for p in walk.paths if id(p) not in going] for walk in walks}
        for place, ((walk, path, moves), listed) in enumerate(zip(asked, choices, strict=True)):
            row, cost = chosen[place]
            row -= np.logaddexp.reduce(row)
            walk.usage += cost + Usage(seconds=seconds)
            found[id(walk)] += [
                _moved(path, move, moves.get(move), float(p), ends=walk.options)
                for move, p in zip(listed, row, strict=True)
            ]
        for walk in walks:
            walk.steps += any(id(path) in going for path in walk.paths)
            walk.paths = sorted(found[id(walk)], key=lambda path: -path.score)[: self.beam]

    def _moves(self, graph: TripleGraph, walk: _Walk, path: Path) -> dict[str, list[Triple]]:
        """Moves that lead to where the walk has not been, at most so many."""
        asked = set(walk.asked.casefold().replace("_", " ").split())
        fresh = {
            move: new
            for move, triples in graph.moves(path.entities, back=self.back).items()
            if (new := [t for t in triples if _end(t, move) not in path.seen and _follows(t, walk)])
        }
        ordered = sorted(fresh, key=lambda move: -len(asked & set(move.casefold().replace("_", " ").split())))
        return {move: fresh[move] for move in ordered[: self.moves]}

    def _read(self) -> TripleGraph:
        with self._lock:
            if self._graph is None:
                self._graph = TripleGraph.read(self._file)
            return self._graph


def _stop(walk: _Walk, path: Path) -> tuple[str, ...]:
    """Whether the model may end a way: not before its first step, nor before an option where some can be reached."""
    return (STOP,) if path.steps and walk.within is None else ()


def _follows(triple: Triple, walk: _Walk) -> bool:
    return (walk.within is None or triple in walk.within) and _passes(triple, walk.where)


def _passes(triple: Triple, where: Filter | None) -> bool:
    return where is None or matches(where, triple._asdict())


def _begun(entities: Sequence[str]) -> list[Path]:
    return [Path(start=entity, entities=(entity,), seen=frozenset((entity,))) for entity in entities]


def _moved(path: Path, move: str, triples: Sequence[Triple] | None, log_p: float, *, ends: Mapping[str, str]) -> Path:
    """The way after a move; one that stops stays where it is. It ends at an entity of `ends`."""
    score = path.score + (log_p if np.isfinite(log_p) else -np.inf)
    if triples is None:
        return replace(path, score=score, ended=True)
    arrived = [triple for triple in triples if _end(triple, move) in ends]
    followed = tuple(arrived or triples)  # of what a relation leads to, that which is an option is what was asked for
    reached = tuple(dict.fromkeys(_end(triple, move) for triple in followed))
    return replace(
        path,
        entities=reached,
        moves=(*path.moves, move),
        steps=(*path.steps, followed),
        seen=path.seen | set(reached),
        score=score,
        ended=bool(arrived),
    )


def _way(path: Path) -> str:
    parts = [_shown([path.start])]
    for move, triples in zip(path.moves, path.steps, strict=True):
        parts += [move, _shown(list(dict.fromkeys(_end(triple, move) for triple in triples)))]
    return " -> ".join(parts)


def _end(triple: Triple, move: str) -> str:
    """Where a move along a triple leads: its tail, or its head where the relation is followed back."""
    return triple.tail if move == triple.relation else triple.head


def _shown(entities: Sequence[str]) -> str:
    names = [entity.replace("_", " ") for entity in entities]
    return first_of(names, 5)


def _ranking(walk: _Walk, k: int, graph: TripleGraph) -> Ranking:
    best = next((path for path in walk.paths if path.steps), None)
    if best is None:
        return Ranking(query=walk.query, outcome=Outcome(kind="empty", detail=_why(walk, graph)), usage=walk.usage)
    hits: list[ScoredDocument] = []
    for hop, (move, triples) in enumerate(zip(best.moves, best.steps, strict=True), start=1):
        for triple in triples:
            document = Document(
                doc_id="\t".join(triple),
                text=triple.text,
                metadata={
                    **triple._asdict(),
                    "hop": hop,
                    "reached": (end := _end(triple, move)),
                    **({"option": walk.options[end]} if end in walk.options else {}),
                },
            )
            hits.append(ScoredDocument(document=document, score=1.0 / (len(hits) + 1)))
    options = list(dict.fromkeys(walk.options[each] for each in best.entities if each in walk.options))
    told = f"{_way(best)}{f'; option: {first_of(options, _TOLD)}' if options else ''}"
    counts = {"steps": walk.steps, "hops": len(best.steps), **({"options": len(options)} if options else {})}
    outcome = Outcome(detail=told, counts=counts)
    return Ranking(query=walk.query, hits=tuple(hits[:k]), outcome=outcome, usage=walk.usage)


def _why(walk: _Walk, graph: TripleGraph) -> str:
    """Why a walk has not begun. A filter may name a relation that there is not, so the relations are told."""
    if not walk.paths:
        return "the question names no entity of the graph"
    if any(_passes(triple, walk.where) for triple in graph.triples()):
        return "nothing leads on from what it names"
    relations = sorted({triple.relation for triple in graph.triples()})
    return f"the filter lets no fact of the graph through; its relations are {first_of(relations, _TOLD)}"
