"""What checking a graph learns: problems by line, and what could be made of it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rag.core.yaml_source import Place
from rag.graph.signature import Signature
from rag.graph.spec import Body, GraphSpec, Spec
from retrievers.index_protocol import Index


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """One thing that is wrong, and its line; 0 where the graph is no text."""

    line: int
    message: str


def in_order(problems: Iterable[Problem]) -> list[str]:
    """What is wrong, by line."""
    return [problem.message for problem in sorted(problems, key=lambda problem: problem.line)]


@dataclass(frozen=True, slots=True, kw_only=True)
class Made:
    """A part that could be made, and what its output depends on.

    `parameters`: with defaults filled in. `prompts`: sha256 of every prompt that it loaded while it was made, by name or
    path. `files`: those that its parameters name. `models`: names of those that it was given, and `searches`: whether it
    was given the index; both also through inner graphs. `runs_inner`: whether it was given something that runs as a graph
    of its own. `inline`: components that were written as its parameters.
    """

    part: Any
    use: str
    parameters: Mapping[str, Any]
    prompts: Mapping[str, str]
    files: tuple[Path, ...] = ()
    models: frozenset[str] = frozenset()
    searches: bool = False
    runs_inner: bool = False
    inline: tuple[Made, ...] = ()


@dataclass(slots=True, kw_only=True)
class Checked:
    """What checking learnt of one graph, or of one inner graph: then `place` says where it stands.

    `kept`: what was made of the same graph before, under the names of `facts`; what searches no index is taken from
    there. `unread`: places whose form is wrong, which was said: nothing is complained of there. `order` is topological;
    `made` holds the nodes that could be made, `inner_made` those of inner graphs, `tried` the parts that were made without
    what is wrong or missing, to find what else is wrong. Problems, notes and models are those of the whole.
    """

    spec: Spec
    body: GraphSpec | Body
    place: Place = ()
    index: Index | None = None
    kept: Mapping[str, Made] = field(default_factory=dict)
    unread: Sequence[Place] = ()
    found: list[Problem] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    order: tuple[str, ...] = ()
    classes: dict[str, Any] = field(default_factory=dict)
    signatures: dict[str, Signature] = field(default_factory=dict)
    made_models: dict[str, Made] = field(default_factory=dict)
    made: dict[str, Made] = field(default_factory=dict)
    tried: dict[str, Any] = field(default_factory=dict)
    inner: dict[str, Checked] = field(default_factory=dict)
    inner_made: dict[str, Made] = field(default_factory=dict)
    leg_names: set[str] = field(default_factory=set)

    @property
    def legs(self) -> tuple[str, ...]:
        """Legs of the index that are searched, inner graphs included."""
        return tuple(sorted(self.leg_names))

    @property
    def problems(self) -> list[str]:
        """All that is wrong, in the order of lines."""
        return in_order(self.found)

    @property
    def models(self) -> dict[str, Any]:
        """The models that could be made, by name."""
        return {name: facts.part for name, facts in self.made_models.items()}

    @property
    def parts(self) -> dict[str, Any]:
        """The nodes' components that could be made, by name."""
        return {name: facts.part for name, facts in self.made.items()}

    @property
    def inner_parts(self) -> dict[str, Any]:
        """Components of inner graphs that could be made, by "GRAPH/NODE"."""
        return {name: facts.part for name, facts in self.inner_made.items()}

    @property
    def facts(self) -> dict[str, Made]:
        """All that could be made: nodes, parts of inner graphs, models as "models.NAME"."""
        models = {f"models.{name}": facts for name, facts in self.made_models.items()}
        return {**self.made, **self.inner_made, **models}

    def made_before(self, node: str) -> Made | None:
        """The node as it was made before, if it does not depend on the index."""
        before = self.kept.get("/".join((*map(str, self.place[1:]), node)))
        return None if before is None or before.searches else before

    def complain(self, place: Place, message: str) -> None:
        """Add a problem at a place of this graph."""
        where = (*self.place, *place)
        if any(where[: len(unread)] == unread for unread in self.unread):
            return
        names = {"nodes": "node", "models": "model", "graphs": "graph"}
        who = "".join(
            f"{names[str(section)]} '{name}': "
            for section, name in zip(where[:-1:2], where[1::2], strict=False)
            if str(section) in names
        )
        source = self.spec.source
        self.found.append(Problem(line=source.line(where), message=f"{source.where(where)}: {who}{message}"))
