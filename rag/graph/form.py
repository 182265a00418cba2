"""What is wrong with the form of a file, as lines for who wrote it: file, line, place, and the keys that there are."""

from __future__ import annotations

from dataclasses import fields, is_dataclass
from typing import Any, get_args, get_origin

from pydantic import BaseModel, ValidationError

from rag.core.errors import did_you_mean
from rag.core.our_plugins import where_it_is
from rag.core.yaml_source import Place, Source
from retrievers.index.settings import IndexSettings, settings_form

_UNKNOWN = ("extra_forbidden", "unexpected_keyword_argument")
"""How pydantic calls a key that a model does not have, and one that a dataclass does not."""


def form_problems(source: Source, error: ValidationError, form: type[BaseModel], *, whole: str) -> list[str]:
    """All that keeps a text from being of a form. `whole`: what messages call it, such as "the graph"."""
    return [_problem(source, each, form, whole) for each in error.errors()]


def _problem(source: Source, error: Any, form: type[BaseModel], whole: str) -> str:
    place = tuple(error["loc"])
    path = ".".join(map(str, place)) or whole
    if error["type"] in _UNKNOWN:
        known = _keys_at(form, place[:-1])
        hint = where_it_is(f"leg.{place[-1]}") or (did_you_mean(str(place[-1]), known) if known else "")
        message = f"unknown key. {hint}".removesuffix(". ")
    elif error["type"] == "missing":
        message = "is missing"
    elif error["type"] == "value_error":
        message = str(error["ctx"]["error"])
    else:
        message = f"{error['msg'][0].lower()}{error['msg'][1:]}, got {str(error['input'])[:80]!r}"
    return f"{source.where(place)}: {path}: {message}"


def _keys_at(form: type[BaseModel], place: Place) -> list[str]:
    """Keys that a form has at a place; empty where names are free."""
    steps = iter(place)
    for step in steps:
        field = form.model_fields.get(str(step))
        kind = field.annotation if field else None
        if get_origin(kind) is dict:  # its keys are names of one's own
            if next(steps, None) is None:
                return []
            kind = get_args(kind)[1]
        kinds = [each for each in (kind, *get_args(kind)) if isinstance(each, type)]
        if records := [each for each in kinds if is_dataclass(each)]:
            return [field.name for field in fields(records[0])]
        forms = [each for each in kinds if issubclass(each, BaseModel)]
        if not forms:
            return []
        form = settings_form() if forms[0] is IndexSettings else forms[0]
    return [str(field.alias or name) for name, field in form.model_fields.items()]
