"""A pipeline behind HTTP: an OpenAI-compatible chat, search, reranking and embeddings (docs/serve.md).

`create_app(pipeline, settings)` gives an ordinary ASGI application, to run with uvicorn or to mount in another one. Importing
this package loads neither: `rag --help` does, to say what its commands are.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ragline_serve.http.app import create_app
    from ragline_serve.service.settings import ServeSettings

__all__ = ["ServeSettings", "create_app"]


def __getattr__(name: str) -> Any:
    if name == "create_app":
        from ragline_serve.http.app import create_app

        return create_app
    if name == "ServeSettings":
        from ragline_serve.service.settings import ServeSettings

        return ServeSettings
    raise AttributeError(f"module 'ragline_serve' has no attribute '{name}'")
