"""A constructor that takes the fields of a frozen record as its keywords, so that many parameters are written once."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any, Concatenate, ParamSpec, TypeVar, get_type_hints

Fields = ParamSpec("Fields")
Component = TypeVar("Component")
Record = TypeVar("Record")


def takes(
    record: Callable[Fields, Record],
) -> Callable[[Callable[[Component, Record], None]], Callable[Concatenate[Component, Fields], None]]:
    """Turn `__init__(self, options: Record)` into one with the record's fields as keywords.

    Names, types, defaults and the `Args:` section are the record's, for type checkers and for `inspect` alike. What a
    record refuses in its `__post_init__` the constructor refuses.
    """

    def decorated(init: Callable[[Component, Record], None]) -> Callable[Concatenate[Component, Fields], None]:
        def construct(self: Component, /, *args: Fields.args, **fields: Fields.kwargs) -> None:
            init(self, record(*args, **fields))

        describe(
            construct, inspect.signature(record), get_type_hints(record, include_extras=True), doc=argument_docs(record)
        )
        return construct

    return decorated


def argument_docs(record: Any) -> str:
    """The first line of a record, and the `Args:` sections of all that it is made of, its own words last."""
    docs = [inspect.cleandoc(each.__doc__ or "") for each in reversed(record.__mro__)]
    first = docs[-1].partition("\n")[0]
    return f"{first}\n\nArgs:\n" + "\n".join(doc.partition("Args:\n")[2].rstrip() for doc in docs if "Args:\n" in doc)


def describe(
    init: Callable[..., None], parameters: inspect.Signature, annotations: dict[str, Any], *, doc: str
) -> None:
    """Let `inspect` see a constructor with these parameters, which stand in `init` as `**fields`."""
    init.__name__, init.__doc__ = "__init__", doc
    own = inspect.Parameter("self", inspect.Parameter.POSITIONAL_ONLY)
    fields = [each.replace(annotation=annotations[name]) for name, each in parameters.parameters.items()]
    init.__signature__ = inspect.Signature([own, *fields])  # type: ignore[attr-defined]
    init.__annotations__ = {each.name: each.annotation for each in fields} | {"return": None}
