"""Are the five top-level packages ours?

`rag`, `retrievers`, `rerankers`, `generators` and `prompts` are also names of other distributions, and a folder such as
`prompts/` beside a user's script comes before site-packages. This module finds out and says so.
"""

from __future__ import annotations

import sys
from functools import cache
from importlib.machinery import PathFinder
from pathlib import Path

from rag.core.errors import MissingDependency

HOUSE = ("rag", "retrievers", "rerankers", "generators", "prompts")


def foreign_packages() -> dict[str, str]:
    """Package name -> where Python would load it from, for each of the five that is not part of this installation."""
    home = Path(__file__).resolve().parents[2]
    foreign: dict[str, str] = {}
    for name in HOUSE:
        places = _places(name)
        if not any(place.parent == home for place in places):
            foreign[name] = str(places[0]) if places else "nowhere: it is not installed"
    return foreign


def _places(name: str) -> list[Path]:
    """Folders that the package is, or would be, loaded from."""
    loaded = sys.modules.get(name)
    if loaded is not None:
        places = list(getattr(loaded, "__path__", [])) or [getattr(loaded, "__file__", "") or ""]
    else:
        spec = PathFinder.find_spec(name)
        if spec is None:
            return []
        places = list(spec.submodule_search_locations or [spec.origin or ""])
    return [Path(place).resolve() for place in places]


def foreign_error(cause: Exception | None = None) -> MissingDependency | None:
    """The error to raise when a foreign package hides one of ours, such as after a failed import; None if none does."""
    foreign = foreign_packages()
    if not foreign:
        return None
    lines = "; ".join(f"'{name}' comes from {place}, not from ragline" for name, place in foreign.items())
    because = f" ({cause})" if cause else ""
    return MissingDependency(f"{lines}{because}. Rename or move that folder, or uninstall that package, and try again.")


@cache
def require_own_house() -> None:
    """Raise MissingDependency if a foreign package hides one of ours. Looked at once per process."""
    if foreign := foreign_error():
        raise foreign
