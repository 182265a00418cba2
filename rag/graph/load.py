"""Reads a graph: a built-in one, a file, or plain data. Form is checked here, meaning by `rag.graph.check`.

Where the form is wrong, what can be read is checked for its meaning all the same, so that all mistakes come at once.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pydantic import ValidationError

from rag.core.errors import SpecError, did_you_mean
from rag.core.our_plugins import where_it_is
from rag.core.plugins import file_named, names_of_files
from rag.core.yaml_source import Source, parse_yaml
from rag.graph.spec import GraphSpec, Spec
from rag.graph.transforms import with_models

GRAPHS = Path(__file__).parents[1] / "graphs"
"""Those that ship with ragline."""


def builtin_names() -> list[str]:
    """Names of the graphs that ship with ragline, and of those that installed plug-ins bring (`ragline.graphs`)."""
    return names_of_files("graphs", GRAPHS)


def builtin_text(name: str) -> str:
    """The YAML of such a graph.

    Raises:
        SpecError: there is none of this name.
    """
    file = file_named(name, "graphs", GRAPHS)
    if file is None:
        raise SpecError(f"no built-in graph '{name}'. {_hint(name)}")
    return file.read_text(encoding="utf-8")


def _hint(name: str) -> str:
    return where_it_is(f"graph {name}") or did_you_mean(name, builtin_names())


def load_spec(graph: str | Path | dict[str, Any] | GraphSpec) -> Spec:
    """Read a graph: a built-in name, a file, plain data or a GraphSpec. Form is checked here, meaning by `check`.

    Raises:
        SpecError: no such graph, not YAML, or not the form of a graph; all problems at once, with file and line.
    """
    if isinstance(graph, GraphSpec):
        return _checked(graph, Source(name="graph", data=None, lines={}))
    if isinstance(graph, dict):
        return spec_of(Source(name="graph", data=graph, lines={}))
    name = str(graph)
    if file := file_named(name, "graphs", GRAPHS):
        return spec_of(parse_yaml(file.read_text(encoding="utf-8"), name=f"built-in graph {name}"))
    path = Path(name)
    if not path.is_file():
        raise SpecError(f"no graph '{name}': neither a file nor a built-in graph. {_hint(name)}")
    try:
        text = path.read_text(encoding="utf-8")
    except UnicodeDecodeError:
        raise SpecError(f"{name}: not UTF-8 text") from None
    return spec_of(parse_yaml(text, name=name))


def spec_of(source: Source) -> Spec:
    """Parsed text as a graph. Form is checked.

    Raises:
        SpecError: it has not the form of a graph; all problems at once, with file and line.
    """
    if not isinstance(source.data, dict):
        raise SpecError(f"{source.name}: a graph is a mapping with version, nodes and output")
    try:
        graph = GraphSpec.model_validate(source.data)
    except ValidationError as error:
        from rag.graph.unread import all_problems  # it reads all tables of components

        raise SpecError(*all_problems(source, error)) from None
    return _checked(graph, source)


def _checked(graph: GraphSpec, source: Source) -> Spec:
    """With the models that transforms name put where they are named, so that the index section stands alone."""
    try:
        return Spec(graph=with_models(graph, source), source=source)
    except SpecError as error:
        from rag.graph.check import check

        raise SpecError(*error.problems, *check(Spec(graph=graph, source=source)).problems) from None
