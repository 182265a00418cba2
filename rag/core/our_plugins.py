"""What is in which plug-in of this project: a table of names, so that whoever lacks one is told what to install."""

from __future__ import annotations

OURS = {
    "cluster": ("cluster.ray",),
    "lab": ("command.lab", "command.leaderboard", "generate.vote"),
    "media": (
        "asking.image",
        "asking.sound",
        "command.bundle",
        "command.unbundle",
        "content_reader.flac",
        "content_reader.gif",
        "content_reader.jpeg",
        "content_reader.jpg",
        "content_reader.m4a",
        "content_reader.mkv",
        "content_reader.mp3",
        "content_reader.mp4",
        "content_reader.oga",
        "content_reader.ogg",
        "content_reader.png",
        "content_reader.tif",
        "content_reader.tiff",
        "content_reader.wav",
        "content_reader.webm",
        "content_reader.webp",
        "encoder.protst",
        "encoder.tower",
        "in_words.sound",
        "in_words.video",
        "leg.pictures",
        "leg.sounds",
        "models.speech",
        "models.tower",
        "page.media",
        "retrieve.pictures",
        "retrieve.sounds",
        "route.contents",
        "route.pages",
    ),
    "recipes": (
        "asking.as_typed",
        "content.as_typed",
        "encoder.mean_of_parts",
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
        "graph hybrid-promptreps",
        "graph hyde-checked",
        "graph mentions",
        "graph multi-hop",
        "graph persuade",
        "graph snippets",
        "graph stride",
        "graph vdr",
        "graph vdr-beta",
        "leg.named",
        "leg.promptreps",
        "page.filters",
        "reformulate.checked",
        "reformulate.code_switch",
        "reformulate.filters",
        "reformulate.glossary",
        "rerank.mmr",
        "rerank.recency",
        "rerank.self_consistency",
        "rerank.snippets",
        "rerank.weighed_terms",
        "retrieve.backtrace",
        "retrieve.expanded",
        "retrieve.mentions",
        "retrieve.named",
        "retrieve.promptreps",
        "retrieve.walk",
        "sparse_layout.vdr",
        "transform.code_switch",
        "transform.rewrite_code",
        "transform.written_context",
    ),
    "serve": ("command.keys", "command.mcp", "command.serve", "doctor.serve", "keeper.sessions"),
    "servers": (
        "retrieve.collection",
        "server.milvus",
        "server.milvus+https",
        "server.milvus+lite",
        "server.qdrant",
        "server.qdrant+https",
        "server.qdrant+local",
    ),
    "tracing": ("trace.file",),
    "train": (
        "command.adapt",
        "command.bitext",
        "command.calibrate",
        "command.dictionary",
        "command.distil",
        "command.heads",
        "command.train",
        "command.weigh",
        "encoder.calibrated",
        "encoder.code_graph",
        "encoder.modular",
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
