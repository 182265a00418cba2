"""A filter in the expression language of Milvus.

An expression of Milvus has three truth values, and a document without the field is in neither a filter nor its negation. So
a condition on what may be absent also says that it is there, which makes it plainly true or false.
"""

from __future__ import annotations

import math
import re
from collections.abc import Collection, Iterable
from typing import Any

from rag.errors import SpecError
from rag.filters import Condition, Filter, fold

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_SIGNS = {"gt": ">", "gte": ">=", "lt": "<", "lte": "<="}
_ESCAPES = {"\\": "\\\\", '"': '\\"', "\n": "\\n", "\r": "\\r", "\t": "\\t"}


def milvus_expression(
    where: Filter | None, *, lists: Collection[str] = (), nullable: Collection[str] = (), whole: Collection[str] = ()
) -> str:
    """The filter as text; empty for none.

    Args:
        lists: fields that hold several values.
        nullable: fields that may be null. `whole`: those that every document has. All others are parts of an object, or
            fields that the collection did not announce.
    Raises:
        SpecError: an operator, a value or a key that the language cannot say.
    """
    if where is None:
        return ""

    def rendered(node: Condition) -> str:
        if node.key in lists:
            return _of_list(node)
        said, path = _condition(node), _path(node.key)
        if node.key in whole:
            return said or f"{path} is not null"
        there = f"{path} is not null" if node.key in nullable else f"exists {path}"
        return f"({there} and {said})" if said else f"({there})"

    return fold(where, condition=rendered, all_of=_all, any_of=_any, negation=lambda inner: f"(not {inner})")


def _all(parts: Iterable[str]) -> str:
    return f"({' and '.join(parts)})"


def _any(parts: Iterable[str]) -> str:
    return f"({' or '.join(parts)})"


def _of_list(node: Condition) -> str:
    path, operator = _path(node.key), node.operator
    if operator.name == "eq":
        return f"array_contains({path}, {_literal(operator.value)})"
    if operator.name == "in":
        return f"array_contains_any({path}, {_several(operator.value)})"
    raise _cannot(node, "of a list")


def _condition(node: Condition) -> str:
    """What is asked of a field that is there; empty where that is all."""
    path, operator = _path(node.key), node.operator
    match operator.name:
        case "exists":
            return ""
        case "eq":
            return f"{path} == {_literal(operator.value)}"
        case "in":
            return f"{path} in {_several(operator.value)}"
        case "gt" | "gte" | "lt" | "lte" if isinstance(operator.value, int | float):
            return f"{path} {_SIGNS[operator.name]} {_literal(operator.value)}"
        case "prefix":
            return f"{path} like {_literal(_like(operator.value, node) + '%')}"
        case "glob":
            return f"{path} like {_literal(_like(operator.value, node, is_glob=True))}"
    raise _cannot(node, "with this value")


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
