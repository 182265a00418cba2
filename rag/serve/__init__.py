"""A pipeline behind HTTP: an OpenAI-compatible chat, search, reranking and embeddings (docs/serve.md).

`create_app(pipeline, settings)` gives an ordinary ASGI application, to run with uvicorn or to mount in another one.
"""

from __future__ import annotations

from rag.core.optional import need

need("fastapi", by="rag serve", extra="serve")

from rag.serve.app import create_app  # noqa: E402
from rag.service.settings import ServeSettings  # noqa: E402

__all__ = ["ServeSettings", "create_app"]
