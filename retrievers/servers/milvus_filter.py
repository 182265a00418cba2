"""A filter in the expression language of Milvus.

An expression of Milvus has three truth values, and a document without the field is in neither a filter nor its negation. So
each condition also says that the field is there, which makes it plainly true or false.
"""

from __future__ import annotations

import math
import re
from collections.abc import Collection, Iterable
from typing import Any

from rag.core.errors import SpecError
from rag.core.filters import Condition, Filter, fold
from rag.core.filters.operators import Equal, Exists, Glob, OneOf, Prefix, Range

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_SIGNS = {"gt": ">", "gte": ">=", "lt": "<", "lte": "<="}
_ESCAPES = {"\\": "\\\\", '"': '\\"', "\n": "\\n", "\r": "\\r", "\t": "\\t"}


def milvus_expression(where: Filter | None, *, lists: Collection[str] = ()) -> str:
    """The filter as text; empty for none.

    Args:
        lists: fields that hold several values.
    Raises:
        SpecError: an operator, a value or a key that the language cannot say.
    """
    if where is None:
        return ""

    def rendered(node: Condition) -> str:
        return _condition(node, is_list=node.key in lists)

    return fold(where, condition=rendered, all_of=_all, any_of=_any, negation=lambda inner: f"(not {inner})")


def _all(parts: Iterable[str]) -> str:
    return f"({' and '.join(parts)})"


def _any(parts: Iterable[str]) -> str:
    return f"({' or '.join(parts)})"


def _condition(node: Condition, *, is_list: bool) -> str:
    path, operator = _path(node.key), node.operator
    if is_list:
        if isinstance(operator, Equal):
            return f"array_contains({path}, {_literal(operator.value)})"
        if isinstance(operator, OneOf):
            return f"array_contains_any({path}, {_several(operator.value)})"
        raise _cannot(node, "of a list")
    there = f"exists {path}" if "[" in path else f"{path} is not null"
    match operator:
        case Exists():
            return f"({there})"
        case Equal():
            said = f"{path} == {_literal(operator.value)}"
        case OneOf():
            said = f"{path} in {_several(operator.value)}"
        case Range() if isinstance(operator.value, int | float):
            said = f"{path} {_SIGNS[operator.name]} {_literal(operator.value)}"
        case Prefix():
            said = f"{path} like {_literal(_like(operator.value, node) + '%')}"
        case Glob():
            said = f"{path} like {_literal(_like(operator.value, node, is_glob=True))}"
        case _:
            raise _cannot(node, "with this value")
    return f"({there} and {said})"


def _several(values: Iterable[Any]) -> str:
    return f"[{', '.join(map(_literal, values))}]"


def _path(key: str) -> str:
    """`lang` as it is; `meta.lang` as a part of a JSON field. What is inside a field may be called anything."""
    name, *inner = key.split(".")
    if not _NAME.fullmatch(name):
        raise SpecError(f"where: Milvus has no field {key[:80]!r}: a field is named by letters, digits and _")
    return name + "".join(f"[{_literal(part)}]" for part in inner)


def _literal(value: Any) -> str:
    """A value as the language writes it: text in quotes, so that nothing in it is read as anything else."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int) or (isinstance(value, float) and math.isfinite(value)):
        return repr(value)
    if not isinstance(value, str):
        raise SpecError(f"where: Milvus compares with text, numbers, true and false, got {str(value)[:80]!r}")
    if any(
        (ord(character) < 32 and character not in _ESCAPES) or "\ud800" <= character <= "\udfff" for character in value
    ):
        raise SpecError(
            f"where: a filter of Milvus cannot hold control characters or halves of characters: {value[:80]!r}"
        )
    return '"' + "".join(_ESCAPES.get(character, character) for character in value) + '"'


def _like(pattern: str, node: Condition, *, is_glob: bool = False) -> str:
    """A pattern for `like`, whose % and _ are our * and ?. It has no sign for a % or _ that is meant."""
    if "%" in pattern or "_" in pattern or "\\" in pattern:
        raise _cannot(node, "with %, _ or \\ in its text")
    return pattern.replace("*", "%").replace("?", "_") if is_glob else pattern


def _cannot(node: Condition, what: str) -> SpecError:
    return SpecError(
        f"where: Milvus cannot ask '{node.operator.name}' {what} (field '{node.key[:80]}'). It can: eq, in and exists; "
        "gt, gte, lt and lte of numbers; prefix and glob of text without %, _ and \\; and eq and in of a list"
    )
