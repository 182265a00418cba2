"""What a component's class says of itself: ports, output, parameters, resources. Read from annotations and docstring."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Annotated, Any, Literal, cast, get_args, get_origin, get_type_hints

from pydantic import BaseModel, ConfigDict, Field, create_model

from rag.core import llm_protocols, protocols
from rag.core.filters import WhereData
from rag.core.powers import LLM_POWERS
from rag.core.types import Answer, Context, Document, Query, Ranking
from retrievers.index_protocol import Index

REQUIRED = inspect.Parameter.empty
RECORDS = {
    Query: "queries",
    Ranking: "rankings",
    Context: "contexts",
    Answer: "answers",
    Document: "documents",
}
Resource = Literal["llm", "index", "graph", "retrieve", "rerank"]
"""What the graph supplies: a model, the index, an inner graph, or a component of that stage."""

INNER: tuple[Resource, ...] = ("graph", "retrieve", "rerank")
"""Resources that run other components."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Param:
    """One constructor parameter. `resource` says that the graph supplies it; else it is YAML data.

    `gives`: what an inner graph must give. `as_it_is`: the component itself is handed over, for more is asked of it than
    its stage's protocol. `parameters_of`: the parameter whose component this one's value belongs to.
    """

    name: str
    annotation: Any
    default: Any
    doc: str
    resource: Resource | None
    gives: type | None = None
    as_it_is: bool = False
    parameters_of: str | None = None

    @property
    def is_filter(self) -> bool:
        """Whether its value is a metadata filter."""
        return {*get_args(self.annotation)} - {type(None)} == {*get_args(WhereData)}


@dataclass(frozen=True, slots=True, kw_only=True)
class Signature:
    """`ports` are the record types that the stage's method takes, in order; `output` the type it gives."""

    ports: tuple[type, ...]
    output: type | None
    takes_k: bool
    params: tuple[Param, ...]
    summary: str


def signature(component: type[Any], method: str | None) -> Signature:
    """Read a class. `method` is the stage's method; None for models, which have no ports.

    Raises:
        TypeError: the class lacks the method, or an annotation; says which.
    """
    return _read(cast(Any, component), method)


@lru_cache(maxsize=512)
def _read(component: type[Any], method: str | None) -> Signature:
    ports, output, takes_k = _ports(component, method) if method else ((), None, False)
    return Signature(
        ports=ports,
        output=output,
        takes_k=takes_k,
        params=tuple(_params(component)),
        summary=inspect.cleandoc(component.__doc__ or "").split("\n\n")[0].replace("\n", " "),
    )


def _hints(function: Callable[..., Any], owner: str) -> dict[str, Any]:
    """Type hints, also where a module imports our protocols for the type checker alone."""
    ours = {**vars(llm_protocols), **vars(protocols)}
    names = {name: value for name, value in ours.items() if isinstance(value, type)}
    try:
        return get_type_hints(function, localns={**names, "Index": Index}, include_extras=True)
    except NameError as error:
        raise TypeError(f"{owner} is annotated with '{error.name}', which its module does not import") from None


def _ports(component: type[Any], method: str) -> tuple[tuple[type, ...], type | None, bool]:
    owner = f"{component.__name__}.{method}"
    function = inspect.getattr_static(component, method, None)
    if function is None:
        raise TypeError(f"{component.__name__} has no method '{method}', which its stage calls")
    hints = _hints(function, owner)
    parameters = list(inspect.signature(function).parameters.values())[1:]
    inputs = [p for p in parameters if p.kind is p.POSITIONAL_OR_KEYWORD]
    if missing := [p.name for p in inputs if p.name not in hints]:
        raise TypeError(f"{owner} does not say what '{missing[0]}' is; write {missing[0]}: Sequence[...] of records")
    if "return" not in hints:
        raise TypeError(f"{owner} does not say what it returns; write -> list[...] of records")
    ports = tuple(_record(_plain(hints[p.name])[0], owner) for p in inputs)
    return ports, _record(hints["return"], owner), any(p.name == "k" for p in parameters)


def _record(annotation: Any, owner: str) -> type:
    """`Sequence[Query]` or `list[Query]` -> Query."""
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin not in (Sequence, list) or not arguments or arguments[0] not in RECORDS:
        raise TypeError(f"{owner}: a stage takes and gives sequences of records, not {annotation}")
    return arguments[0]  # type: ignore[no-any-return]


def _params(component: type[Any]) -> list[Param]:
    if component.__init__ is object.__init__:
        return []
    hints = _hints(component.__init__, component.__name__)
    docs = _argument_docs(component)
    params = []
    for p in inspect.signature(component).parameters.values():
        if p.name not in hints:
            raise TypeError(f"{component.__name__}: its parameter '{p.name}' has no annotation, so no value fits it")
        annotation, inline = _plain(hints[p.name])
        resource = _resource(annotation)
        params.append(
            Param(
                name=p.name,
                annotation=annotation,
                default=inline.default if inline else p.default,
                doc=docs.get(p.name, ""),
                resource=resource,
                gives=get_args(core_of(annotation))[0]
                if resource == "graph"
                else Ranking
                if resource in INNER
                else None,
                as_it_is=resource in ("retrieve", "rerank") and core_of(annotation) not in _STAGES,
            )
        )
        if inline:
            doc = docs.get(inline.parameters, "")
            shape, of = Mapping[str, Any] | None, p.name
            params.append(
                Param(name=inline.parameters, annotation=shape, default=None, doc=doc, resource=None, parameters_of=of)
            )
    return params


def _plain(annotation: Any) -> tuple[Any, protocols.Inline | None]:
    """`Annotated[X, Inline(...)]` -> X and what is said of it."""
    if get_origin(annotation) is not Annotated:
        return annotation, None
    return annotation.__origin__, next((x for x in annotation.__metadata__ if isinstance(x, protocols.Inline)), None)


_STAGES: dict[Any, Resource] = {protocols.Retriever: "retrieve", protocols.Reranker: "rerank"}
_RESOURCES: dict[Any, Resource] = {Index: "index", protocols.LLM: "llm", **_STAGES}


def core_of(annotation: Any) -> Any:
    """`X | None` -> X."""
    options = [option for option in get_args(annotation) if option is not type(None)]
    return options[0] if len(options) == 1 and type(None) in get_args(annotation) else annotation


def _resource(annotation: Any) -> Resource | None:
    core = core_of(annotation)
    if get_origin(core) is protocols.Subgraph:
        return "graph"
    if not isinstance(core, type):
        return None
    return next((resource for base, resource in _RESOURCES.items() if base in core.__mro__), None)


def _argument_docs(component: type[Any]) -> dict[str, str]:
    """The `Args:` section of the class docstring, or of its constructor's: name -> one line."""
    text = inspect.cleandoc(component.__doc__ or "")
    if "Args:" not in text:
        text = inspect.cleandoc(component.__init__.__doc__ or "")
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


class InlinePart(BaseModel):
    """A component written where it is needed."""

    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True)
    use: str = Field(description="stage.name, as `rag list` prints it.")
    params: dict[str, Any] = Field(default_factory=dict, alias="with", description="Parameters of its constructor.")


def parameters_model(component: type[Any], method: str | None) -> type[BaseModel]:
    """A pydantic model of a component's YAML parameters: names, types, defaults and descriptions from its signature.

    A model is a name from `models:`; an inner graph a name from `graphs:`; a retriever or reranker such a name or a
    component with its parameters. The index is bound by the pipeline and left out.
    """
    return _model_of(cast(Any, component), method)


@lru_cache(maxsize=512)
def _model_of(component: type[Any], method: str | None) -> type[BaseModel]:
    fields: dict[str, Any] = {}
    for p in signature(component, method).params:
        if p.resource == "index":
            continue
        annotation: Any = p.annotation
        if p.resource is not None:
            annotation = str | InlinePart if p.resource in ("retrieve", "rerank") else str
            annotation = annotation if p.default is REQUIRED else annotation | None
        default = ... if p.default is REQUIRED else p.default
        fields[p.name] = (annotation, Field(default, description=p.doc or None))
    config = ConfigDict(extra="forbid", arbitrary_types_allowed=True, protected_namespaces=())
    return create_model(f"{component.__name__}Parameters", __config__=config, **fields)


def needs_index(component: type[Any]) -> bool:
    """Whether a component cannot be made without an index."""
    params = signature(component, None).params
    return any(param.resource == "index" and param.default is REQUIRED for param in params)


def needed_powers(annotation: Any) -> tuple[str, ...]:
    """Methods that an LLM needs beyond `LLM` to serve a parameter of this annotation."""
    core = core_of(annotation)
    return tuple(method for method, power in LLM_POWERS.items() if power.protocol in core.__mro__)
