"""What is in which plug-in of this project: a table of names, so that whoever lacks one is told what to install."""

from __future__ import annotations

OURS = {
    "cluster": ("cluster.ray",),
    "lab": ("command.lab", "command.leaderboard", "generate.vote"),
    "media": (
        "asking.image",
        "content_reader.gif",
        "content_reader.jpeg",
        "content_reader.jpg",
        "content_reader.png",
        "content_reader.tif",
        "content_reader.tiff",
        "content_reader.webp",
        "leg.pictures",
        "models.media",
        "page.media",
        "retrieve.pictures",
        "route.contents",
    ),
    "recipes": (
        "asking.as_typed",
        "content.as_typed",
        "generate.chain",
        "generate.follow_up",
        "generate.forecast",
        "generate.label",
        "generate.persuade",
        "generate.stride",
        "generate.typed",
        "graph colbert-xm",
        "graph decoder-vectors",
        "graph follow-up",
        "graph hybrid-filtered",
        "graph mentions",
        "graph multi-hop",
        "graph persuade",
        "graph snippets",
        "graph stride",
        "graph vdr",
        "page.filters",
        "reformulate.code_switch",
        "reformulate.filters",
        "reformulate.glossary",
        "rerank.recency",
        "rerank.snippets",
        "retrieve.backtrace",
        "retrieve.mentions",
        "retrieve.walk",
        "transform.code_switch",
        "transform.rewrite_code",
    ),
    "servers": (
        "retrieve.collection",
        "server.milvus",
        "server.milvus+https",
        "server.milvus+lite",
        "server.qdrant",
        "server.qdrant+https",
        "server.qdrant+local",
    ),
    "train": (
        "command.adapt",
        "command.bitext",
        "command.calibrate",
        "command.dictionary",
        "command.distil",
        "command.heads",
        "command.train",
        "command.weigh",
    ),
}
"""Plug-in -> its components, graphs, commands, servers and clusters.

It is the distribution `ragline-NAME`, in `plugins/NAME` of a checkout."""


def where_it_is(part: str) -> str:
    """Which plug-in has a part, and how to install it; empty where it is of none.

    >>> where_it_is("generate.persuade")
    "It is in the plug-in 'ragline-recipes'. From a checkout: pip install ./plugins/recipes."
    """
    plugin = next((name for name, parts in OURS.items() if part in parts), None)
    if plugin is None:
        return ""
    return f"It is in the plug-in 'ragline-{plugin}'. From a checkout: pip install ./plugins/{plugin}."
