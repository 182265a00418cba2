"""Moved for one release: the tools of MCP are in the plug-in `ragline-serve`."""

raise ImportError("rag.mcp is ragline_serve.mcp now: pip install ./plugins/serve from a checkout")
