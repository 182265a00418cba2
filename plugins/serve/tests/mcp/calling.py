"""Tools called through the official client."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from typing import Any

from mcp import Client
from mcp_types import CallToolResult, TextContent


def called(server: Any, tool: str, **arguments: Any) -> dict[str, Any]:
    """What a tool gives, through the official client."""
    return called_in_turn(server, (tool, arguments))[0]


def called_in_turn(server: Any, *calls: tuple[str, dict[str, Any]]) -> list[dict[str, Any]]:
    """What several tools give, in one session."""
    results = asyncio.run(_call(server, calls))
    given = []
    for result in results:
        assert not result.is_error, said(result)
        assert result.structured_content is not None
        assert json.loads(said(result)) == result.structured_content  # clients that know no structure read the same
        given.append(result.structured_content)
    return given


def refused(server: Any, tool: str, **arguments: Any) -> str:
    """The error that a tool answers with."""
    [result] = asyncio.run(_call(server, [(tool, arguments)]))
    assert result.is_error
    return said(result)


def said(result: CallToolResult) -> str:
    return "".join(block.text for block in result.content if isinstance(block, TextContent))


async def _call(server: Any, calls: Sequence[tuple[str, dict[str, Any]]]) -> list[CallToolResult]:
    async with Client(server) as client:
        return [await client.call_tool(tool, arguments) for tool, arguments in calls]
