"""A server that leaves no request without an answer, and logs no trace of one that it does not know."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from types import TracebackType
from typing import Any, Self

import anyio
from mcp.server import MCPServer
from mcp.server.mcpserver.exceptions import ToolError, UnexpectedToolError
from mcp.server.stdio import stdio_server
from mcp.shared.exceptions import MCPError
from mcp.shared.message import SessionMessage
from mcp_types import INVALID_PARAMS, INVALID_REQUEST, PARSE_ERROR, ErrorData, JSONRPCError
from pydantic import ValidationError

SHOWN_CHARS = 80


class ToolServer(MCPServer[Any]):
    """The library's server, for one that offers tools alone."""

    async def get_prompt(self, name: str, arguments: dict[str, Any] | None = None, context: Any = None) -> Any:
        """There is none. The library would answer too, but print a traceback as well."""
        raise MCPError(code=INVALID_PARAMS, message=f"no prompt {name[:SHOWN_CHARS]!r}: this server offers tools alone")

    async def call_tool(self, name: str, arguments: dict[str, Any], context: Any = None) -> Any:
        """Call a tool. Its refusals come as it words them, and those of arguments and names as ours.

        Raises:
            ToolError: the tool is not there, cannot take the arguments, or failed.
        """
        tools = {tool.name: tool for tool in self._tool_manager.list_tools()}
        if name not in tools:
            raise ToolError(f"there is no tool {name[:SHOWN_CHARS]!r}. Call one of these: {', '.join(tools)}")
        try:
            return await super().call_tool(name, arguments, context)
        except UnexpectedToolError:
            raise
        except ToolError as error:
            if isinstance(error.__cause__, ValidationError):
                known = list(tools[name].parameters["properties"])
                raise ToolError(refused(name, known, error.__cause__)) from None
            raise ToolError(str(error.__cause__ or error)) from None

    async def run_stdio_async(self) -> None:
        """Serve on stdin and stdout. The library drops a line that is no message; here it is answered."""
        server = self._lowlevel_server
        async with stdio_server() as (incoming, outgoing):
            await server.run(Messages(incoming, outgoing), outgoing, server.create_initialization_options())


class Messages:
    """A client's messages. What is none is answered with an error and passed over.

    Args:
        incoming: messages, and what reading a line raised in the place of each that is none.
        outgoing: where errors go.
    """

    def __init__(self, incoming: Any, outgoing: Any) -> None:
        self._incoming, self._outgoing = incoming, outgoing

    async def receive(self) -> SessionMessage | Exception:
        """The next message.

        Raises:
            anyio.EndOfStream: the client has gone.
        """
        while True:
            item: SessionMessage | Exception = await self._incoming.receive()
            if not isinstance(item, ValidationError):
                return item
            if (refused := refusal(item)) is not None:
                await self._outgoing.send(SessionMessage(refused))

    async def aclose(self) -> None:
        await self._incoming.aclose()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> SessionMessage | Exception:
        try:
            return await self.receive()
        except anyio.EndOfStream:
            raise StopAsyncIteration from None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()


def refusal(error: ValidationError) -> JSONRPCError | None:
    """The answer to a line that is no message, under its id where that can be read; None for an empty line."""
    problems = error.errors(include_url=False)
    line = problems[0]["input"]
    no_json = problems[0]["type"] == "json_invalid"
    if no_json and isinstance(line, str) and not line.strip():
        return None
    message = _read(line) if no_json else next((each["input"] for each in problems if _is_call(each["input"])), None)
    what = problems[0]["msg"] if no_json else "it has not the form of a request, a notification or a response"
    return JSONRPCError(
        jsonrpc="2.0",
        id=_id_of(message),
        error=ErrorData(
            code=PARSE_ERROR if no_json else INVALID_REQUEST, message=f"this line is no JSON-RPC message: {what}"
        ),
    )


def _read(line: Any) -> Any:
    """The line as Python reads it, which takes half characters (lone surrogates) too; None where it cannot either."""
    try:
        return json.loads(line)
    except (TypeError, ValueError, RecursionError):
        return None


def _is_call(message: Any) -> bool:
    return isinstance(message, dict) and "method" in message


def _id_of(message: Any) -> str | int | None:
    """The id under which a client waits: text that can be sent back, or a whole number."""
    given = message.get("id") if _is_call(message) else None
    if isinstance(given, str):
        return None if any("\ud800" <= c <= "\udfff" for c in given) else given
    return given if isinstance(given, int) and not isinstance(given, bool) else None


MOST_PROBLEMS, LONGEST = 5, 400
"""Problems that are told, and characters of each: a call can be wrong in a million places."""

_ALTERNATIVES = {"str", "dict[str,any]"}
"""Steps of a place that name no argument, but one of the forms that it may have."""

_NO_TEXT, _NO_NUMBER = "it is no text; give a text", "it is no whole number; give one"

_SAID: Mapping[str, Callable[[Mapping[str, Any]], str]] = {
    "missing": lambda _: "it is missing; give it",
    "string_type": lambda _: _NO_TEXT,
    "string_too_short": lambda allowed: f"it is too short; give at least {_counted(allowed['min_length'])}",
    "string_too_long": lambda allowed: f"it is too long; give at most {_counted(allowed['max_length'])}",
    "int_type": lambda _: _NO_NUMBER,
    "int_parsing": lambda _: _NO_NUMBER,
    "int_from_float": lambda _: _NO_NUMBER,
    "greater_than_equal": lambda allowed: f"it is too small; give at least {allowed['ge']:,}",
    "less_than_equal": lambda allowed: f"it is too large; give at most {allowed['le']:,}",
    "list_type": lambda _: "it is no list; give one",
    "too_long": lambda allowed: f"it has too many items; give at most {allowed['max_length']:,}",
    "literal_error": lambda allowed: f"it is none of what is known; give {allowed['expected']}",
    "extra_forbidden": lambda _: "there is no such field; leave it out",
    "model_type": lambda _: "it is no object; give one",
    "value_error": lambda allowed: str(allowed["error"]),
}


def refused(tool: str, known: Sequence[str], error: ValidationError) -> str:
    """Why a tool was not run. The values are not repeated: they may be long, or hostile.

    Args:
        known: the names of the tool's arguments.
    """
    problems = error.errors(include_url=False, include_input=False)
    lines = list(dict.fromkeys(map(_told, problems)))
    more = [f"and {len(lines) - MOST_PROBLEMS:,} more"] if len(lines) > MOST_PROBLEMS else []
    said = ". ".join([*lines[:MOST_PROBLEMS], *more])
    return f"{tool} was not run. {said}. Its arguments are {', '.join(known)}; its input schema says what each takes"


def _told(problem: Mapping[str, Any]) -> str:
    steps = [step for step in problem["loc"] if step not in _ALTERNATIVES]
    place = ".".join(str(step)[:80] for step in steps)
    if len(steps) < len(problem["loc"]):
        return f"{place}: it is neither a text nor an object; give one of them"
    say = _SAID.get(problem["type"])
    said = "it does not fit the input schema" if say is None else say(problem.get("ctx", {}))
    return f"{place}: {said[:LONGEST].rstrip('.')}"


def _counted(n: int) -> str:
    return f"{n:,} character{'' if n == 1 else 's'}"
