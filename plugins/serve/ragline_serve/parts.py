"""For authors of what serves: routes of the server, tools of MCP, parts of the page."""

from ragline_serve.http.host import ROUTES, Host
from ragline_serve.http.page import PAGES
from ragline_serve.mcp.tools import TOOLS
from ragline_serve.service.replies import ApiError
from ragline_serve.service.wire.forms import refusals

__all__ = ["PAGES", "ROUTES", "TOOLS", "ApiError", "Host", "refusals"]
