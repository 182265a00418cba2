"""Moved for one release: indexes on servers are in the plug-in `ragline-servers`."""

raise ImportError("retrievers.servers is ragline_servers now: pip install ./plugins/servers from a checkout")
