"""The ASGI application: endpoints over one pipeline."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager

from fastapi import FastAPI

from rag.core.version import VERSION
from rag.pipeline import Pipeline
from rag.serve import chat, conversation, embeddings, health, models, page, rerank, search
from rag.serve.sessions import Sessions
from rag.service import errors, metrics, walls
from rag.service.keys import load_keys
from rag.service.metrics import Metrics
from rag.service.service import Service
from rag.service.settings import ServeSettings


def create_app(pipeline: Pipeline, settings: ServeSettings | None = None) -> FastAPI:
    """An ASGI application that serves a pipeline. Loads no weights; its lifespan loads them in the background.

    Mounted in another application its lifespan does not run: weights load at the first request then.
    """
    settings = settings or ServeSettings()
    keys, counted = load_keys(settings.keys_file), Metrics()
    sessions = None if settings.sessions_file is None else Sessions(settings.sessions_file)
    service = Service(pipeline, settings, watch=counted)
    counted.follow(service)
    # Reporting is off whatever the environment says: spans are made by the graph, where they are asked for.
    app = FastAPI(
        title="ragline",
        summary="Answers with citations, search, reranking and embeddings over one retrieval graph.",
        version=VERSION,
        docs_url=None,
        redoc_url=None,
        telemetry={"tracing": False, "metrics": False, "logs": False, "auto_configure": False},
        lifespan=_lifespan(service, sessions),
    )
    app.state.service, app.state.n_keys = service, len(keys)
    errors.install(app)
    app.include_router(chat.router(service, sessions))
    app.include_router(conversation.router(service, sessions))
    for part in (models, search, rerank, embeddings, health):
        app.include_router(part.router(service))
    app.include_router(metrics.router(counted))
    app.include_router(page.router)
    walls.surround(app, settings, keys=keys, metrics=counted)
    return app


def _lifespan(service: Service, sessions: Sessions | None) -> Callable[[FastAPI], AbstractAsyncContextManager[None]]:
    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        service.load()
        try:
            yield
        finally:
            service.close()
            if sessions is not None:
                sessions.close()

    return lifespan
