"""May this index serve what a graph asks for? Only what the graph says explicitly is compared."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from rag.core.errors import IndexMismatch
from retrievers.index.manifest import Manifest
from retrievers.index.settings import IndexSettings, leg_kind
from retrievers.legs import LEGS
from retrievers.legs.protocol import explicit_differences


def require_match(manifest: Manifest, settings: IndexSettings, legs: Sequence[str], *, name: str) -> None:
    """Return if the index has all `legs` and was built with every value that `settings` sets explicitly.

    Sections of legs that are not asked for do not count, and two ways to say the same thing are no
    difference: stemmer `porter` and what `auto` came to for the language, two names of one encoder file.

    Raises:
        IndexMismatch: names both sides of every difference.
    """
    built = manifest.settings
    problems = [missing_leg(manifest, leg) for leg in legs if leg not in manifest.legs]
    differences = [
        each for part in ("reading", "chunking", "transforms") for each in explicit_differences(part, settings, built)
    ]
    for leg in legs:
        if leg in LEGS:
            differences += leg_kind(leg).differences(settings, built, manifest.legs.get(leg, {}))
    differences.sort(key=lambda each: each.path.partition(".")[0])
    problems += [
        f"it was built with {each.path} {_say(each.built)}{each.built_by and f', chosen by {each.built_by}'}; "
        f"the graph asks for {_say(each.wanted)}"
        for each in differences
        if each.wanted not in ("auto", each.built)
    ]
    if problems:
        raise IndexMismatch(
            f"index '{name}' cannot serve this graph: {'; '.join(problems)}. "
            f"Build it again for this graph (rag index --index {name} --graph GRAPH) or change the graph"
        )


def missing_leg(manifest: Manifest, leg: str) -> str:
    """Why a graph that needs `leg` cannot run, and what to do."""
    graph = leg_kind(leg).graph if leg in LEGS else "GRAPH"
    return (
        f"it has no {leg} leg; built with legs {', '.join(manifest.legs)}; run: rag index --index DIR --graph {graph}"
    )


def _say(value: Any) -> str:
    if isinstance(value, tuple):
        return "[" + ", ".join(f"{part.use} {dict(part.params)}" for part in value) + "]"
    return repr(value)
