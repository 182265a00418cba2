"""The ASGI application: endpoints over one pipeline or several."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import replace
from functools import partial

from fastapi import FastAPI

from rag import Pipeline
from rag import __version__ as VERSION
from rag.errors import SpecError
from rag.files import QuestionLog
from ragline_serve.http import (
    chat,
    conversation,
    documents,
    embeddings,
    feedback,
    fields,
    files,
    health,
    host,
    indexes,
    models,
    page,
    reading,
    rerank,
    search,
)
from ragline_serve.http.documents import Changes
from ragline_serve.http.sessions import Sessions
from ragline_serve.service import metrics, replies, walls
from ragline_serve.service.keys import load_keys
from ragline_serve.service.metrics import Metrics
from ragline_serve.service.service import Service
from ragline_serve.service.services import HoldsServices, Services
from ragline_serve.service.settings import ServeSettings


def create_app(pipelines: Pipeline | Mapping[str, Pipeline], settings: ServeSettings | None = None) -> FastAPI:
    """An ASGI application that serves a pipeline, or several by the names of their models.

    Loads no weights; its lifespan loads them in the background. Mounted in another application its lifespan does not
    run: weights load at the first request then. Waiting rooms and batches are those of each pipeline.

    Args:
        pipelines: one goes by the settings' `model`; of several, the first answers requests that name none.
    Raises:
        SpecError: the settings name a folder for files, and none of the indexes can take some; or a plug-in takes a path of ours.
    """
    settings = settings or ServeSettings()
    keys, counted = load_keys(settings.keys_file), Metrics()
    sessions = None if settings.sessions_file is None else Sessions(settings.sessions_file)
    log = None if settings.log_file is None else QuestionLog(settings.log_file)
    by_name = pipelines if isinstance(pipelines, Mapping) else {settings.model: pipelines}

    def called(model: str, part: str) -> str:
        return services.part(model, part)

    services = Services(
        [
            Service(one, replace(settings, model=name), watch=counted.watch(partial(called, name)))
            for name, one in by_name.items()
        ]
    )
    for service in services:
        counted.look_at(service, called=partial(called, service.settings.model))
    # Reporting is off whatever the environment says: spans are made by the graph, where they are asked for.
    app = FastAPI(
        title="ragline",
        summary="Answers with citations, search, reranking and embeddings over one retrieval graph.",
        version=VERSION,
        docs_url=None,
        redoc_url=None,
        telemetry={"tracing": False, "metrics": False, "logs": False, "auto_configure": False},
        lifespan=_lifespan(services, [each for each in (sessions, log) if each is not None], settings.follow_s),
    )
    app.state.services, app.state.n_keys = services, len(keys)
    replies.install(app)
    changes = Changes(services)
    uploads = files.Uploads(changes, folder=settings.uploads, to_all=not len(keys))
    if settings.uploads is not None and not any(files.takes_files(one.index) for one in by_name.values()):
        raise SpecError(
            "serve: uploads need an index in a directory of this machine, and one without labels: a file does not say who "
            "may read it"
        )
    own = [chat.router(services, sessions, log), conversation.router(services, sessions), page.router()]
    own += [part.router(services) for part in (models, fields, reading, search, rerank, embeddings, health)]
    own += [documents.router(changes), files.router(uploads), indexes.router(services, uploads)]
    own += [feedback.router(services, log), metrics.router(counted)]
    for router in own:
        app.include_router(router)
    host.add_routes(app, services, own)
    app.add_middleware(HoldsServices)
    walls.surround(app, settings, keys=keys, metrics=counted)
    return app


def _lifespan(
    services: Services, files: Sequence[Sessions | QuestionLog], follow_s: float | None
) -> Callable[[FastAPI], AbstractAsyncContextManager[None]]:
    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        services.load()
        follower = None if follow_s is None else services.follower(follow_s)
        if follower is not None:
            follower.start()
        try:
            yield
        finally:
            if follower is not None:
                follower.stop()
            services.close()
            for file in files:
                file.close()

    return lifespan
