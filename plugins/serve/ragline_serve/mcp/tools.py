"""Tools of plug-ins, called as ours are: with the pipeline of now, and a filter that says who asks."""

from __future__ import annotations

import re
from collections.abc import Callable
from contextlib import AbstractContextManager
from functools import wraps
from inspect import iscoroutinefunction, signature
from typing import Any, Protocol

from rag import Pipeline
from rag.doors import Registry
from rag.filters import Filter

TOOLS = Registry("tool", {})
"""Name -> a class that keeps `Tool`."""

Held = Callable[[str], AbstractContextManager[tuple[Pipeline, Filter | None]]]


class Tool(Protocol):
    """A tool of MCP.

    `call` is given the pipeline, the filter that says what whoever asks may read, and then the arguments of the tool, whose
    annotations are its schema. Its docstring is what a client's model reads of it.
    """

    title: str
    call: Callable[..., Any]

    @staticmethod
    def offered(pipeline: Pipeline) -> bool:
        """Whether the graph and its index can serve it."""


def callable_tool(name: str, tool: Tool, held: Held) -> Callable[..., Any]:
    """A tool's `call` as a client has it: without its first two parameters. `held` gives those, by the tool's name.

    Raises:
        ValueError: it has no such name, or no such parameters; or it is a coroutine, which would hold up all others.
    """
    given = signature(tool.call, eval_str=True)
    if not re.fullmatch(r"[\w-]{1,64}", name, re.ASCII) or iscoroutinefunction(tool.call):
        raise ValueError(
            "a tool has a name of at most 64 ASCII letters, digits, - and _, and its call is a plain function"
        )
    _, _, *left = given.parameters.values()

    @wraps(tool.call)
    def call(**arguments: Any) -> Any:
        with held(name) as (pipeline, where):
            return tool.call(pipeline, where, **arguments)

    call.__signature__ = given.replace(parameters=left)  # type: ignore[attr-defined]
    return call
