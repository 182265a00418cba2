"""A graph as data: which models, which index, which nodes, fed by whom, and which node is the output."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, PositiveFloat, PositiveInt, field_validator

from rag.core.recipe import Recipe
from rag.core.words import first_of
from rag.core.yaml_source import Source
from retrievers.index.settings import IndexSettings

_SHOWN, _MOST_SHOWN = 32, 6
"""Of a graph in a line: characters of a name, and names."""

RANKING_STAGES = ("retrieve", "fuse", "rerank")
"""Stages that give rankings."""
ANSWERING = ("generate", "check")
"""Stages that give answers."""
QUERY = "query"
"""The name that `in:` uses for the batch of queries."""


class _Frozen(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True)


class Part(_Frozen):
    """A component and its parameters."""

    use: str = Field(description="stage.name, as `rag list` prints it.", pattern=r"^[a-z_]+\.[A-Za-z0-9_]+$")
    params: dict[str, Any] = Field(default_factory=dict, alias="with", description="Parameters of its constructor.")

    @property
    def stage(self) -> str:
        """What stands before the point of `use`."""
        return self.use.partition(".")[0]


class Node(Part):
    """A component in the graph."""

    inputs: tuple[str, ...] = Field(
        default=(QUERY,),
        alias="in",
        min_length=1,
        description="Where its batches come from: 'query' or node names.",
    )
    k: PositiveInt | None = Field(default=None, description="How many hits to keep, for stages that cut.")

    @field_validator("inputs", mode="before")
    @classmethod
    def _one_is_a_list(cls, value: object) -> object:
        return (value,) if isinstance(value, str) else value

    @property
    def ranks(self) -> bool:
        """Whether it gives rankings."""
        return self.stage in RANKING_STAGES

    @property
    def answers(self) -> bool:
        """Whether it gives answers."""
        return self.stage in ANSWERING


class Budget(_Frozen):
    """What an inner graph may cost for one question, whatever runs it how often. Checked before each run."""

    calls: PositiveInt | None = Field(default=None, description="Calls of models.")
    tokens: PositiveInt | None = Field(default=None, description="Tokens read and written.")
    seconds: PositiveFloat | None = Field(default=None, description="Wall time since the outer node began its batch.")


class Body(_Frozen):
    """Nodes that lead to one."""

    description: str = ""
    nodes: dict[str, Node] = Field(min_length=1)
    output: str = Field(description="The node whose records are the result.")


class InnerGraph(Body):
    """A graph inside a graph: a component may be given it by name. It shares the models and the index."""

    budget: Budget = Budget()


class GraphSpec(_Frozen):
    """A whole graph."""

    version: Literal[1] = Field(description="Version of this format.")
    description: str = ""
    recipe: Recipe | None = Field(default=None, description="The system that this graph is, where it is one.")
    note: str = Field(default="", description="What whoever loads it is told, such as that a plain search finds more.")
    index: IndexSettings = Field(default_factory=IndexSettings, description="How an index for this graph is made.")
    models: dict[str, Part] = Field(default_factory=dict, description="Models that nodes share, by name.")
    graphs: dict[str, InnerGraph] = Field(default_factory=dict, description="Graphs that components may be given.")
    nodes: dict[str, Node] = Field(min_length=1)
    output: str = Field(description="The node whose records are the result.")
    otherwise: str | None = Field(
        default=None,
        description="The graph to load instead where the memory, or a package of a model, does not suffice for this one.",
    )

    @property
    def ranks(self) -> bool:
        """Whether some node ranks documents."""
        return any(node.ranks for node in self.nodes.values())

    def __repr__(self) -> str:
        names = first_of([f"{name[:_SHOWN]!r} ({node.use[:_SHOWN]})" for name, node in self.nodes.items()], _MOST_SHOWN)
        return f"<graph of {len(self.nodes):,} nodes: {names}; output {self.output[:_SHOWN]!r}>"


class Spec(_Frozen):
    """A graph and the text it came from, for messages."""

    model_config = ConfigDict(frozen=True, arbitrary_types_allowed=True)
    graph: GraphSpec
    source: Source

    @property
    def name(self) -> str:
        """What reports call it: the name of a built-in graph, the path of a file."""
        return self.source.name.removeprefix("built-in graph ")
