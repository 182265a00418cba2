"""Presets: components that differ from another one in what they are called and in their defaults."""

from __future__ import annotations

import inspect
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, get_type_hints

from rag.writing import describe


@dataclass(frozen=True, slots=True, kw_only=True)
class Preset:
    """A component as data.

    about: its docstring; the first paragraph is what lists of components show.
    component: the class that does the work.
    defaults: parameter -> default, where it is not the component's.
    fixed: parameter -> value, for those that this preset does not offer.
    attributes: class attribute -> value, where it is not the component's. Every preset has one more, `by`.
    meanings: parameter -> what it means, where the component's own words do not say it.
    """

    about: str
    component: type[Any]
    defaults: Mapping[str, Any] = field(default_factory=dict)
    fixed: Mapping[str, Any] = field(default_factory=dict)
    attributes: Mapping[str, Any] = field(default_factory=dict)
    meanings: Mapping[str, str] = field(default_factory=dict)


def component_of(preset: Preset, *, name: str, module: str) -> type[Any]:
    """The reformulator of a preset. `module` and `name` say where it can be imported from.

    Raises:
        TypeError: the preset names a parameter that its component does not have.
    """
    component = preset.component
    known = inspect.signature(component)
    if unknown := sorted({*preset.defaults, *preset.fixed, *preset.meanings} - set(known.parameters)):
        raise TypeError(f"preset '{name}': {component.__name__} has no parameter {', '.join(unknown)}")
    offered = inspect.Signature(
        [
            each.replace(default=preset.defaults.get(parameter, each.default))
            for parameter, each in known.parameters.items()
            if parameter not in preset.fixed
        ]
    )

    def construct(self: Any, /, **fields: Any) -> None:
        bound = offered.bind(**fields)
        bound.apply_defaults()
        component.__init__(self, **bound.arguments, **preset.fixed)

    init = component.__init__
    describe(
        construct,
        offered,
        get_type_hints(init, include_extras=True),
        doc=_reworded(inspect.getdoc(init) or "", preset.meanings),
    )
    own = {"__doc__": preset.about, "__init__": construct, "__module__": module, "__qualname__": name}
    title = "".join(part.capitalize() for part in name.split("_"))
    return type(title, (component,), {**own, "by": f"reformulate.{name}", **preset.attributes})


def _reworded(doc: str, meanings: Mapping[str, str]) -> str:
    """A docstring with these meanings in its `Args:` section."""
    for name, meaning in meanings.items():
        entry = re.compile(rf"^(    {name}:) .*\n?(?:^        .*\n?)*", re.MULTILINE)
        doc = entry.sub(lambda match, words=meaning: f"{match[1]} {words}\n", doc)  # type: ignore[misc]
    return doc
