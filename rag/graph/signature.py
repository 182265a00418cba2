"""What a component's class says of itself: ports, output, parameters, resources. Read from annotations and docstring."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal, get_args, get_origin, get_type_hints

from pydantic import BaseModel, ConfigDict, Field, create_model

from rag.core import protocols
from rag.core.types import Answer, Context, Document, Query, Ranking
from retrievers.index.directory import Index

REQUIRED = inspect.Parameter.empty
RECORDS = {
    Query: "queries",
    Ranking: "rankings",
    Context: "contexts",
    Answer: "answers",
    Document: "documents",
}
Resource = Literal["llm", "encoder", "index"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Param:
    """One constructor parameter. `resource` says that the graph supplies it; else it is YAML data."""

    name: str
    annotation: Any
    default: Any
    doc: str
    resource: Resource | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Signature:
    """`ports` are the record types that the stage's method takes, in order; `output` the type it gives."""

    ports: tuple[type, ...]
    output: type | None
    takes_k: bool
    params: tuple[Param, ...]
    summary: str


def signature(component: type[Any], method: str | None) -> Signature:
    """Read a class. `method` is the stage's method; None for models, which have no ports."""
    ports, output, takes_k = _ports(getattr(component, method)) if method else ((), None, False)
    return Signature(
        ports=ports,
        output=output,
        takes_k=takes_k,
        params=tuple(_params(component)),
        summary=inspect.cleandoc(component.__doc__ or "").split("\n\n")[0].replace("\n", " "),
    )


def _hints(function: Callable[..., Any]) -> dict[str, Any]:
    """Type hints, also where a module imports our protocols for the type checker alone."""
    names = {name: value for name, value in vars(protocols).items() if isinstance(value, type)}
    return get_type_hints(function, localns={**names, "Index": Index})


def _ports(method: Callable[..., Any]) -> tuple[tuple[type, ...], type | None, bool]:
    hints = _hints(method)
    parameters = list(inspect.signature(method).parameters.values())[1:]
    ports = tuple(_record(hints[p.name]) for p in parameters if p.kind is p.POSITIONAL_OR_KEYWORD)
    return ports, _record(hints["return"]), any(p.name == "k" for p in parameters)


def _record(annotation: Any) -> type:
    """`Sequence[Query]` or `list[Query]` -> Query."""
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin not in (Sequence, list) or not arguments or arguments[0] not in RECORDS:
        raise TypeError(f"a stage takes and gives sequences of records, not {annotation}")
    return arguments[0]  # type: ignore[no-any-return]


def _params(component: type) -> list[Param]:
    if component.__init__ is object.__init__:  # type: ignore[misc]
        return []
    hints = _hints(component.__init__)  # type: ignore[misc]
    docs = _argument_docs(component)
    found = []
    for p in list(inspect.signature(component).parameters.values()):
        annotation = hints.get(p.name, Any)
        found.append(
            Param(
                name=p.name,
                annotation=annotation,
                default=p.default,
                doc=docs.get(p.name, ""),
                resource=_resource(annotation),
            )
        )
    return found


def _resource(annotation: Any) -> Resource | None:
    if not isinstance(annotation, type):
        return None
    if annotation is Index:
        return "index"
    if protocols.LLM in annotation.__mro__:
        return "llm"
    return "encoder" if protocols.Encoder in annotation.__mro__ else None


def _argument_docs(component: type) -> dict[str, str]:
    """The `Args:` section of the class docstring, or of its constructor's: name -> one line."""
    text = inspect.cleandoc(component.__doc__ or "")
    if "Args:" not in text:
        text = inspect.cleandoc(component.__init__.__doc__ or "")  # type: ignore[misc]
    section = re.search(r"^Args:\n((?:[ \t]+.*\n?|\n)+)", text, re.MULTILINE)
    if section is None:
        return {}
    docs: dict[str, str] = {}
    current = ""
    for line in inspect.cleandoc(section.group(1)).splitlines():
        match = re.match(r"^(\w+)(?: \([^)]*\))?: (.*)", line)
        if match:
            current = match.group(1)
            docs[current] = match.group(2)
        elif current and line.strip():
            docs[current] += f" {line.strip()}"
    return docs


def parameters_model(component: type[Any], method: str | None) -> type[BaseModel]:
    """A pydantic model of a component's YAML parameters: names, types, defaults and descriptions from its signature.

    Resources that come from `models:` are strings, the name there; the index is bound by the pipeline and left out.
    """
    fields: dict[str, Any] = {}
    for p in signature(component, method).params:
        if p.resource == "index":
            continue
        annotation = str if p.resource else p.annotation
        default = ... if p.default is REQUIRED else p.default
        fields[p.name] = (annotation, Field(default, description=p.doc or None))
    config = ConfigDict(extra="forbid", arbitrary_types_allowed=True, protected_namespaces=())
    return create_model(f"{component.__name__}Parameters", __config__=config, **fields)


def needed_powers(annotation: type) -> dict[str, str]:
    """Method -> protocol, for what an LLM needs beyond `LLM` to serve a parameter of this annotation."""
    powers: dict[str, str] = {}
    for protocol in (protocols.CanScore, protocols.CanChoose, protocols.CanStream, protocols.HasWeights):
        if protocol in annotation.__mro__:
            powers |= {name: protocol.__name__ for name in vars(protocol) if not name.startswith("_")}
    return powers
