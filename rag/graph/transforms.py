"""Models of corpus transforms: a name in the graph's index section becomes the model's own definition.

So the settings that an index is built with, and that its manifest records, say which model wrote into it; a graph whose
name means another model does not match the index.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rag.core.errors import SpecError, did_you_mean
from rag.core.registry import Registry
from rag.core.yaml_source import Place, Source
from rag.graph.spec import GraphSpec, Part
from retrievers.index.settings import TransformSettings

if TYPE_CHECKING:
    from rag.graph.checked import Made
    from rag.graph.making import Complain
    from rag.graph.signature import Param


def with_models(graph: GraphSpec, source: Source) -> GraphSpec:
    """The graph with `{use, with}` in place of every name of a model that a transform is given.

    Raises:
        SpecError: names every model that `models:` has not.
    """
    if not graph.index.transforms:
        return graph
    problems: list[str] = []
    transforms = tuple(
        _resolved(graph, source, position, settings, problems)
        for position, settings in enumerate(graph.index.transforms)
    )
    if problems:
        raise SpecError(*problems)
    # Not a key that the file leaves out: what is set explicitly is what an index is compared with.
    index = graph.index.model_copy(update={"transforms": transforms})
    return graph.model_copy(update={"index": index})


def _resolved(
    graph: GraphSpec, source: Source, position: int, settings: TransformSettings, problems: list[str]
) -> TransformSettings:
    params = dict(settings.params)
    for name in model_parameters(settings.use):
        model_name = params.get(name)
        if not isinstance(model_name, str):
            continue
        model = graph.models.get(model_name)
        if model is None:
            where = source.where(("index", "transforms", position, "with", name))
            hint = did_you_mean(model_name, graph.models)
            problems.append(f"{where}: transform.{settings.use}: no model '{model_name}' for '{name}'. {hint}")
        else:
            params[name] = model.model_dump(by_alias=True)
    return settings.model_copy(update={"params": params})


def model_parameters(use: str) -> list[str]:
    """Parameters of a transform that are models; none for a transform that does not exist."""
    from rag.graph.signature import signature

    table = _table()
    return [p.name for p in signature(table.get(use), None).params if p.resource == "llm"] if use in table else []


def make_transform(settings: TransformSettings, models: dict[str, Any]) -> Any:
    """The transform of these settings. Models of one definition are made once and kept in `models`.

    Raises:
        SpecError: the parameters or a model are not right.
        UnknownComponent: no such transform, or no such kind of model.
    """
    from rag.graph.making import Supplied, fitting_model, make

    problems: list[str] = []
    part = Part(use=f"transform.{settings.use}", params=_by_reference(settings))

    def complain(place: Place, message: str) -> None:
        problems.append(f"index.transforms: {message}")

    def supply(param: Param, value: Any, tell: Complain) -> Supplied:
        model = _model(settings.params[param.name], models, param.name, tell)
        fitting = model and fitting_model(model, param, use=part.use, name=param.name, complain=tell)
        return Supplied(thing=fitting)

    transform = make(part, _table().get(settings.use), None, supply, complain)
    if transform is None:
        raise SpecError(*problems)
    return transform.part


def _by_reference(settings: TransformSettings) -> dict[str, Any]:
    """The parameters as plain data: each model's definition is replaced by the name of its parameter."""
    models = model_parameters(settings.use)
    return {name: name if name in models else value for name, value in settings.params.items()}


def _model(definition: Any, models: dict[str, Any], name: str, complain: Complain) -> Made | None:
    from rag.graph.kinds import MODELS
    from rag.graph.making import Supplied, make

    if not isinstance(definition, dict) or set(definition) - {"use", "with"} or "use" not in definition:
        complain(("with", name), f"a model is a name from the graph's models, or {{use, with}}; got {definition!r}")
        return None
    key = repr(definition)
    if key not in models:
        kind, _, component = str(definition["use"]).partition(".")
        if kind not in MODELS:
            complain(("with", name), f"no kind of model '{kind}'. {did_you_mean(kind, MODELS)}")
            return None
        part = Part(use=str(definition["use"]), params=definition.get("with") or {})

        def nothing(param: Param, value: Any, tell: Complain) -> Supplied:
            return Supplied(thing=None)

        models[key] = make(part, MODELS[kind].get(component), None, nothing, complain)
    model: Made | None = models[key]
    return model


def _table() -> Registry:
    from rag.stages import TRANSFORMS

    return TRANSFORMS
