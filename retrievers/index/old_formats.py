"""Manifests of formats 1 and 2: a list of legs, and a field for the facts of each of the three that there were.

None is written any more. They are read, and said again as they were, so that such an index is the index that it was.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from retrievers.legs.protocol import MADE_BY

OLD_LEGS = {"lexical": 1, "dense": 1, "promptreps": 2}
"""Leg -> the oldest format that has it."""
_WITH_OWN_FIELD = "dense"
"""The leg whose maker has a field of the manifest to itself."""
_ORDER = (
    "format_version",
    "ragline_version",
    "created",
    "legs",
    "settings",
    "corpus",
    "ruler",
    "lexical",
    "dense",
    MADE_BY,
    "promptreps",
    "files",
)
_SECTIONS = ("analyzer", "bm25", "dense", "promptreps", "reading", "chunking", "transforms")
_PROMPTREPS = {
    "model": "smollm2-135m-instruct",
    "revision": None,
    "dtype": "auto",
    "prompt": "promptreps",
    "text_tokens": 512,
    "sparse_tokens": 128,
}
"""What format 2 says of a leg that an index has not; so nobody needs the plug-in that has the leg to open it."""


def read(data: Mapping[str, Any]) -> dict[str, Any]:
    """The manifest as it is today.

    Raises:
        ValueError: it has a leg that its format has not.
    """
    if unknown := [leg for leg in data["legs"] if leg not in OLD_LEGS]:
        raise ValueError(f"format {data.get('format_version')} has no leg {unknown[0]!r}")
    said = {name: value for name, value in data.items() if name not in (*OLD_LEGS, MADE_BY)}
    said["legs"] = {leg: dict(data.get(leg) or {}) for leg in data["legs"]}
    if data.get(MADE_BY) is not None and _WITH_OWN_FIELD in said["legs"]:
        said["legs"][_WITH_OWN_FIELD][MADE_BY] = data[MADE_BY]
    if isinstance(settings := data.get("settings"), dict) and "promptreps" not in data["legs"]:
        said["settings"] = {name: value for name, value in settings.items() if name != "promptreps"}
    return said


def written(said: Mapping[str, Any], version: int) -> dict[str, Any]:
    """A manifest of today, all of it as JSON, as it was in this format."""
    legs = {leg: dict(facts) for leg, facts in said["legs"].items()}
    made_by = legs.get(_WITH_OWN_FIELD, {}).pop(MADE_BY, None)
    sections = [name for name in _SECTIONS if version > 1 or name not in OLD_LEGS or OLD_LEGS[name] <= version]
    facts = {leg: legs.get(leg) for leg, since in OLD_LEGS.items() if since <= version}
    asked = {"promptreps": _PROMPTREPS, **said["settings"]}
    settings = {name: asked[name] for name in sections if name in asked}
    fields = {**said, **facts, MADE_BY: made_by, "legs": list(legs), "settings": settings}
    return {name: fields[name] for name in _ORDER if name in fields}
