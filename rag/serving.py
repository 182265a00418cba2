"""Moved for one release: what authors of routes, tools and parts of the page import is in the plug-in `ragline-serve`."""

raise ImportError(
    "rag.serving is ragline_serve.parts now, and its CONTENTS are of rag.doors: pip install ./plugins/serve from a checkout"
)
