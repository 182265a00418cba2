"""`rag list`."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from typing import Any

from rag.cli.console import fail, say, say_json
from rag.cli.options import add_plugins
from rag.core.errors import SpecError, did_you_mean
from rag.core.plugins import all_shipped, installed
from rag.core.powers import POWERS
from rag.core.recipe import Recipe, recipe_of
from rag.graph.kinds import TABLES
from rag.graph.load import builtin_names, load_spec
from rag.graph.readable import readable
from rag.graph.signature import REQUIRED, Param, core_of, signature

PLUGINS = "plugins"
"""What is asked for installed packages."""
RECIPES = "recipes"
"""What is asked for graphs and components that are a system of a paper."""


def options(parser: ArgumentParser) -> None:
    """What the command takes."""
    parser.add_argument(
        "stage",
        nargs="?",
        help="one stage, 'graph' for built-in graphs, 'recipes' for those of papers, 'plugins' for packages",
    )
    parser.add_argument("--json", action="store_true", help="print one JSON document")
    add_plugins(parser)


def run(args: Namespace) -> int:
    """Print components and graphs; those that cannot be loaded are told at the end."""
    if args.stage not in (None, "graph", PLUGINS, RECIPES, *TABLES):
        raise SpecError(f"no stage '{args.stage}'. {did_you_mean(args.stage, ['graph', PLUGINS, RECIPES, *TABLES])}")
    if args.stage == PLUGINS:
        return _list_plugins(as_json=args.json)
    read = {stage: readable(stage) for stage in TABLES if args.stage in (None, stage, RECIPES)}
    listing = [
        component(stage, name)
        for stage, (components, _) in read.items()
        for name, made_of in components.items()
        if args.stage != RECIPES or recipe_of(made_of)
    ]
    graphs = [
        {"name": name, "description": graph.description, **_said(graph.recipe)}
        for name, graph in ((name, load_spec(name).graph) for name in builtin_names())
        if args.stage in (None, "graph") or (args.stage == RECIPES and graph.recipe)
    ]
    if args.json:
        say_json({"components": listing, "graphs": graphs})
    else:
        _say_list(listing, graphs, recipes_alone=args.stage == RECIPES)
    broken = [problem for _, problems in read.values() for problem in problems]
    for problem in broken:
        fail(f"rag: {problem}")
    return SpecError.exit_code if broken else 0


def _list_plugins(*, as_json: bool) -> int:
    """Installed packages with their versions, and what each adds."""
    added: dict[tuple[str, str], list[str]] = {package: [] for package in installed()}
    for group, parts in sorted(all_shipped().items()):
        for name, each in sorted(parts.items()):
            added[each.package, each.version].append(f"{group}.{name}")
    if as_json:
        say_json([{"name": name, "version": version, "adds": adds} for (name, version), adds in added.items()])
        return 0
    for (name, version), adds in added.items():
        say(f"{name} {version}\n    {', '.join(adds)}")
    if not added:
        say("no plug-in is installed")
    return 0


def _say_list(
    listing: Iterable[Mapping[str, Any]], graphs: Iterable[Mapping[str, Any]], *, recipes_alone: bool
) -> None:
    for entry in listing:
        say(f"{entry['use']}\n    {entry['summary']}")
        _say_system(entry)
        if recipes_alone:  # what they can do and take is for those who ask for their stage
            continue
        if entry["powers"]:
            say(f"    can: {'; '.join(entry['powers'])}")
        for p in entry["parameters"]:
            default = "required" if p["required"] else f"default {p['default']!r}"
            say(f"      {p['name']}: {p['type']} ({default}) {p['description']}".rstrip())
    for graph in graphs:
        say(f"graph {graph['name']}\n    {graph['description']}")
        _say_system(graph)


def _say_system(entry: Mapping[str, Any]) -> None:
    if "source" in entry:
        say(f"    {entry['system']}: {entry['source']}")


def _said(recipe: Recipe | None) -> dict[str, str]:
    """Which system a graph or a component is, where it is one."""
    return {} if recipe is None else asdict(recipe)


def component(stage: str, name: str) -> dict[str, Any]:
    """A component as plain data: use, summary with its source, the system that it is, parameters."""
    registry, method = TABLES[stage]
    made_of = registry.get(name)
    signed = signature(made_of, method)
    return {
        "use": f"{stage}.{name}",
        "summary": signed.summary,
        **_said(recipe_of(made_of)),
        "powers": [power.words for power in POWERS.values() if power.kept_by(made_of)],
        "parameters": [_parameter(p) for p in signed.params],
    }


_SUPPLIED = {
    "index": "bound by --index",
    "llm": "a name from models: ({type.__name__})",
    "graph": "a name from graphs: ({type})",
    "retrieve": "a name from graphs:, or a retrieve.* component",
    "rerank": "a rerank.* component",
}
"""What the graph supplies, in words."""


def _parameter(p: Param) -> dict[str, Any]:
    if p.resource:
        kind = _SUPPLIED[p.resource].format(type=core_of(p.annotation))
    else:
        kind = p.annotation.__name__ if isinstance(p.annotation, type) else str(p.annotation).replace("typing.", "")
    required = p.default is REQUIRED
    return {
        "name": p.name,
        "type": kind,
        "required": required and p.resource != "index",
        "default": None if required else p.default,
        "description": p.doc,
    }
