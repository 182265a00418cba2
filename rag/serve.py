"""Moved for one release: the server is in the plug-in `ragline-serve`."""

raise ImportError("rag.serve is ragline_serve now: pip install ./plugins/serve from a checkout")
