"""For authors of what serves: routes of the server, tools of MCP, parts of the page, and contents on the wire."""

from rag.core.content_forms import CONTENTS
from rag.mcp.tools import TOOLS
from rag.serve.host import ROUTES, Host
from rag.serve.page import PAGES
from rag.service.errors import ApiError
from rag.service.wire.errors import refusals

__all__ = ["CONTENTS", "PAGES", "ROUTES", "TOOLS", "ApiError", "Host", "refusals"]
