"""Which models a graph and its index load, and whether they are on this machine."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from rag.core.errors import MissingModel, SpecError
from rag.core.protocols import LoadsModels
from rag.graph.build import Graph
from rag.graph.check import check
from rag.graph.checked import Checked
from rag.graph.load import load_spec
from rag.models import locate, packaged_model, require_meaning, resolve
from rag.pipeline.release import inside
from retrievers.index.opening import open_index
from retrievers.index_protocol import Index

Named = tuple[str, str | None]
"""A model's name and its hub revision."""


def models_loaded(graph: Graph | Checked, index: Index | None) -> list[Named]:
    """Every model that the graph's parts and the searched legs may load, once each, in the order of the graph.

    Without an index, those that an index for this graph would be built with.
    """
    names, settings = models_of_parts(graph), graph.spec.graph.index
    if index is not None:
        names += index.model_names(graph.legs)
    else:
        names += [named for leg in graph.legs for named in settings.kind(leg).wanted_models(settings)]
    return list(dict.fromkeys(names))


def models_of_parts(graph: Graph | Checked) -> list[Named]:
    """Every model that the graph's own parts may load; those of an index are its own affair."""
    parts = [*graph.models.values(), *graph.parts.values(), *inside(graph)]
    return [named for part in parts if isinstance(part, LoadsModels) for named in part.model_names]


def models_of_graph(graph: str, *, index: str | None = None) -> list[Named]:
    """Every model that a graph loads, of its index too where one is named. Nothing is loaded or fetched.

    Raises:
        SpecError: the graph is wrong.
    """
    bound = None if index is None else open_index(index)
    checked = check(load_spec(graph), index=bound)
    if checked.problems:
        raise SpecError(*checked.problems)
    return models_loaded(checked, bound)


def require_known_models(models: Iterable[Named]) -> None:
    """Return if the name of each can mean a model: a packaged one, a whole folder or a file, or one of the hub. No network.

    Raises:
        MissingModel: some can mean none, all of them at once; names those that are near.
    """
    problems: list[str] = []
    for name, revision in models:
        try:
            require_meaning(name)
            if packaged_model(name) is None and Path(name).expanduser().is_dir():
                resolve(name, revision=revision, offline=True)
        except MissingModel as missing:
            problems.append(str(missing))
    if problems:
        raise MissingModel("\n".join(dict.fromkeys(problems)))


def require_local_models(models: Iterable[Named]) -> None:
    """Return if all of these models are on this machine.

    Raises:
        MissingModel: some are not; names them, and the commands that fetch them.
    """
    missing = [(name, revision) for name, revision in models if locate(name, revision=revision) is None]
    if missing:
        commands = "; ".join(
            f"rag models pull {name}{f' --revision {revision}' if revision else ''}" for name, revision in missing
        )
        names = ", ".join(name for name, _ in missing)
        raise MissingModel(f"not on this machine, and offline: {names}. While online, run: {commands}")
