"""Parameters are validated and parts made: models first, then nodes. Loads no weights.

Whatever a part needs that is no data comes from a `Supply`: models by name, the index, inner graphs. One that is not
there leaves the part unmade; what is wrong with it was said elsewhere.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, NoReturn

from pydantic import BaseModel, ValidationError, create_model

from rag.core.errors import SpecError, did_you_mean
from rag.core.inputs import noted
from rag.core.powers import LLM_POWERS, POWERS, LacksPower, Power, in_words, lacking
from rag.core.protocols import LLM, Reranker, Retriever
from rag.core.yaml_source import Place
from rag.graph.checked import Made
from rag.graph.readable import readable
from rag.graph.signature import REQUIRED, InlinePart, Param, needed_powers, parameters_model, signature
from rag.graph.spec import Part

Complain = Callable[[Place, str], None]
"""Is told a place below the part, and what is wrong there."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Supplied:
    """The resource for a parameter; `thing` is None if there is no such resource. `inline`: components made for it alone."""

    thing: Any
    models: frozenset[str] = frozenset()
    searches: bool = False
    runs_inner: bool = False
    inline: tuple[Made, ...] = ()


Supply = Callable[[Param, Any, Complain], Supplied]
"""Finds the resource for a parameter. It gets the parameter, its value in the file, and a function that takes complaints."""


def make(
    part: Part,
    component: type[Any],
    method: str | None,
    supply: Supply,
    complain: Complain,
    *,
    tried: Callable[[Any], None] = lambda _: None,
) -> Made | None:
    """Make a part. None if something is wrong with it, after complaining, or if a resource is missing.

    A wrong parameter hides no other: the rest is looked up, and the constructor is tried, all the same.

    Args:
        tried: is given a part that was made without what is wrong or missing, to find what else is wrong with it.
    """
    model = parameters_model(component, method)
    try:
        parameters, wrong = _read(model, part, complain)
    except TypeError as error:
        complain(("with",), f"{part.use}: parameters must be plain data ({error})")
        return None
    params = signature(component, method).params
    values: dict[str, Any] = {name: getattr(parameters, name) for name in model.model_fields}
    supplied = _fill(values, params, wrong, supply, complain)
    if wrong or any(each.thing is None for each in supplied):
        _try(component, params, values, wrong, complain, tried)
        return None
    if not _filters_are_known(params, values, complain):
        return None
    try:
        with noted() as inputs:
            instance = component(**values)
    except LacksPower as error:
        complain(("with",), f"{error} {models_that_can(error.methods)}")
        return None
    except (SpecError, ValueError) as error:
        complain(("with",), str(error))
        return None
    return Made(
        part=instance,
        use=part.use,
        parameters=parameters.model_dump(mode="json", by_alias=True),
        prompts=dict(inputs.prompts),
        files=tuple(inputs.files),
        models=frozenset().union(*(each.models for each in supplied)),
        searches=any(each.searches for each in supplied),
        runs_inner=any(each.runs_inner for each in supplied),
        inline=tuple(facts for each in supplied for facts in each.inline),
    )


def _read(model: type[BaseModel], part: Part, complain: Complain) -> tuple[BaseModel, frozenset[str]]:
    """The parameters, and the names of those that are wrong, after complaining; these have their defaults then."""
    try:
        return model.model_validate_json(json.dumps(part.params), strict=True), frozenset()
    except ValidationError as error:
        for each in error.errors():
            _complain_parameter(part.use, each, list(model.model_fields), complain)
        wrong = frozenset(str(each["loc"][0]) for each in error.errors() if each["loc"])
    given = {name: value for name, value in part.params.items() if name not in wrong}
    free: dict[str, Any] = {
        name: (Any, None if field.is_required() else field.default)
        for name, field in model.model_fields.items()
        if name in wrong
    }
    lenient = create_model(model.__name__, __base__=model, **free)
    return lenient.model_validate_json(json.dumps(given), strict=True), wrong


def _fill(
    values: dict[str, Any], params: Sequence[Param], wrong: frozenset[str], supply: Supply, complain: Complain
) -> list[Supplied]:
    """Put what the graph supplies into `values`, and a stand-in where it cannot."""
    for param in params:
        of = param.parameters_of
        if of is not None and (more := values.pop(param.name)) and of not in wrong:
            values[of] = as_part(values[of], str(_stage(params, param)), more)
    supplied: list[Supplied] = []
    for param in params:
        if param.resource is not None and param.name in wrong:
            values[param.name] = Unmade()
        elif param.resource == "index" or (param.resource is not None and values[param.name] is not None):
            resource = supply(param, values.get(param.name), complain)
            values[param.name] = Unmade() if resource.thing is None else resource.thing
            supplied.append(resource)
    return supplied


def _try(
    component: type[Any],
    params: Sequence[Param],
    values: Mapping[str, Any],
    wrong: frozenset[str],
    complain: Complain,
    tried: Callable[[Any], None],
) -> None:
    """Complain of what the constructor refuses, though something is wrong or missing already.

    What it asks of a stand-in is not known, so whatever comes of that is told to nobody.
    """
    if any(param.name in wrong and param.default is REQUIRED and param.resource is None for param in params):
        return
    try:
        tried(component(**values))
    except LacksPower:
        return
    except (SpecError, ValueError) as error:
        complain(("with",), str(error))
    except Exception:
        return


def _filters_are_known(params: Sequence[Param], values: Mapping[str, Any], complain: Complain) -> bool:
    """Whether the part's index has the metadata that the part's own filters name; reads it as the first query would."""
    index = next((values[param.name] for param in params if param.resource == "index"), None)
    known = True
    for param in params:
        if index is None or not param.is_filter or values[param.name] is None:
            continue
        try:
            index.rows(values[param.name])
        except SpecError as error:
            for problem in error.problems:
                complain(("with", param.name), problem)
            known = False
    return known


def _complain_parameter(use: str, error: Any, known: list[str], complain: Complain) -> None:
    path = ".".join(str(p) for p in error["loc"])
    if error["type"] == "extra_forbidden":
        message = f"{use} has no parameter '{path}'. {did_you_mean(path, known)}"
    elif error["type"] == "missing":
        message = f"{use} needs the parameter '{path}'"
    else:
        message = f"{use}: {path}: {error['msg'][0].lower()}{error['msg'][1:]}, got {str(error['input'])[:80]!r}"
    complain(("with", *error["loc"]), message)


def fitting_model(model: Made, param: Param, *, use: str, name: str, complain: Complain) -> Any:
    """The model, if it has the powers that a parameter asks for; None after complaining."""
    missing = lacking(model.part, needed_powers(param.annotation))
    if not missing:
        return model.part
    why = "; ".join(dict.fromkeys(filter(None, missing.values())))
    complain(
        ("with", param.name),
        f"{use} needs a model that can {in_words(missing)}; '{name}' ({model.use}) cannot{f' ({why})' if why else ''}. "
        f"{models_that_can(missing)}",
    )
    return None


def models_that_can(methods: Iterable[str]) -> str:
    """Which kinds of models have all these methods, in a sentence."""
    wanted = [LLM_POWERS[method] for method in methods]
    kinds, _ = readable("llm")
    able = [f"llm.{name}" for name, kind in kinds.items() if all(power.kept_by(kind) for power in wanted)]
    return f"Models that can: {', '.join(able) or 'none'}."


def as_part(value: InlinePart | Part | str, stage: str, params: Mapping[str, Any] = MappingProxyType({})) -> Part:
    """A component as `use` and `with`. A bare name is a component of the stage. `params` are added to its parameters."""
    if isinstance(value, str):
        return Part(use=f"{stage}.{value}", params=dict(params))
    return Part(use=value.use, params={**value.params, **params})


def _stage(params: Sequence[Param], param: Param) -> str | None:
    return next(each.resource for each in params if each.name == param.parameters_of)


class NotKnown(Exception):
    """Somebody asked a stand-in for what nobody knows."""


def _not_known(*_: Any, **__: Any) -> NoReturn:
    raise NotKnown


class Unmade:
    """Stands for a model, an index or an inner graph that could not be made, where a part is tried without it.

    It has every power in name, so that no part refuses it; whoever asks it for anything gets `NotKnown`.
    """


_PROTOCOLS = (*POWERS.values(), *(Power(protocol=each, words="") for each in (LLM, Retriever, Reranker)))
for _name in frozenset().union(*(power.members for power in _PROTOCOLS)):
    setattr(Unmade, _name, _not_known)
