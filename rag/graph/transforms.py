"""Models of corpus transforms: a name in the graph's index section becomes the model's own definition.

So the settings that an index is built with, and that its manifest records, say which model wrote into it; a graph whose
name means another model does not match the index.
"""

from __future__ import annotations

from typing import Any

from rag.core.errors import SpecError, did_you_mean
from rag.core.powers import lacking
from rag.core.registry import Registry
from rag.core.yaml_source import Source
from rag.graph.spec import GraphSpec
from retrievers.index.settings import TransformSettings


def with_models(graph: GraphSpec, source: Source) -> GraphSpec:
    """The graph with `{use, with}` in place of every name of a model that a transform is given.

    Raises:
        SpecError: names every model that `models:` has not.
    """
    if not graph.index.transforms:
        return graph
    problems: list[str] = []
    transforms = tuple(
        _resolved(graph, source, at, settings, problems) for at, settings in enumerate(graph.index.transforms)
    )
    if problems:
        raise SpecError(*problems)
    # Not a key that the file leaves out: what is set explicitly is what an index is compared with.
    index = graph.index.model_copy(update={"transforms": transforms})
    return graph.model_copy(update={"index": index})


def _resolved(
    graph: GraphSpec, source: Source, at: int, settings: TransformSettings, problems: list[str]
) -> TransformSettings:
    params = dict(settings.params)
    for name in model_parameters(settings.use):
        asked = params.get(name)
        if not isinstance(asked, str):
            continue
        model = graph.models.get(asked)
        if model is None:
            where = source.where(("index", "transforms", at, "with", name))
            hint = did_you_mean(asked, graph.models)
            problems.append(f"{where}: transform.{settings.use}: no model '{asked}' for '{name}'. {hint}")
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
    from rag.graph.signature import signature

    component = _table().get(settings.use)
    params = dict(settings.params)
    try:
        for p in signature(component, None).params:
            if p.resource == "llm" and p.name in params:
                params[p.name] = _model(params[p.name], p.annotation, models)
        return component(**params)
    except (TypeError, ValueError) as cause:
        raise SpecError(f"index.transforms: transform.{settings.use}: {cause}") from cause


def _model(definition: Any, annotation: type, models: dict[str, Any]) -> Any:
    from rag.graph.kinds import MODELS
    from rag.graph.signature import needed_powers

    if not isinstance(definition, dict) or set(definition) - {"use", "with"} or "use" not in definition:
        raise ValueError(f"a model is a name from the graph's models, or {{use, with}}; got {definition!r}")
    key = repr(definition)
    if key not in models:
        kind, _, name = str(definition["use"]).partition(".")
        if kind not in MODELS:
            raise ValueError(f"no kind of model '{kind}'. {did_you_mean(kind, MODELS)}")
        given = definition.get("with") or {}
        # YAML and JSON have lists where constructors take tuples.
        values = {name: tuple(value) if isinstance(value, list) else value for name, value in given.items()}
        models[key] = MODELS[kind].get(name)(**values)
    powers = needed_powers(annotation)
    if missing := lacking(models[key], powers):
        why = "; ".join(dict.fromkeys(filter(None, missing.values())))
        needed = ", ".join(sorted({powers[method] for method in missing}))
        raise ValueError(f"it needs a model that {needed}; {definition['use']} cannot{f' ({why})' if why else ''}")
    return models[key]


def _table() -> Registry:
    from rag.stages import TRANSFORMS

    return TRANSFORMS
