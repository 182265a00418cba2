"""Routes of plug-ins: what they are given of the server, and how they come into it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import zip_longest
from typing import Any

from fastapi import APIRouter, FastAPI, Request
from starlette.routing import BaseRoute, Route

from rag import Pipeline
from rag.doors import Registry
from rag.errors import SpecError
from rag.filters import Filter
from ragline_serve.service.askers import asked_in
from ragline_serve.service.replies import ApiError
from ragline_serve.service.services import Services
from ragline_serve.service.wire.forms import understood_filter

ROUTES = Registry("route", {})
"""Name -> what is given a `Host` and gives an `APIRouter` of fastapi."""


class Host:
    """What a route is given of the server. Keys, rates, sizes and metrics are the server's: they stand around every route."""

    def __init__(self, services: Services) -> None:
        self._services = services

    def pipeline(self, request: Request, model: str | None = None) -> Pipeline:
        """The pipeline that a request asks, whose index stays open until its reply is sent.

        Args:
            model: the name that the request calls it by; without one, the server's first.
        Raises:
            ApiError: there is none of that name.
        """
        return self._services.serving(request, model).pipeline

    def filter(self, request: Request, where: str | dict[str, Any] | None = None) -> Filter | None:
        """What whoever asks may read, and of that what passes the request's own filter. Nothing else is shown to them.

        Raises:
            ApiError: the filter is too large, or cannot be understood.
        """
        try:
            return asked_in(request, understood_filter(where))
        except (SpecError, ValueError) as error:
            raise ApiError(400, f"where: {error}", param="where", code="invalid_filter") from None


def add_routes(app: FastAPI, services: Services, own: Sequence[APIRouter]) -> None:
    """Put the routes of plug-ins behind ours. A plug-in that gives none is told in the log and left out.

    Raises:
        SpecError: a path is one of ours, or of another plug-in.
    """
    host = Host(services)

    def made(name: str, make: Callable[[Host], APIRouter]) -> tuple[str, APIRouter]:
        router = make(host)
        if others := [type(route).__name__ for route in router.routes if not isinstance(route, Route)]:
            raise ValueError(f"a router has routes of HTTP alone, right in it, and this one has a {others[0]}")
        return name, router

    taken = [("ragline", path) for path in _paths([*app.routes, *(route for each in own for route in each.routes)])]
    for name, router in ROUTES.each(made):
        mine = [(ROUTES.origin(name), path) for path in _paths(router.routes)]
        for whose, path in mine:
            for other, theirs in taken:
                if _meet(path, theirs):
                    raise SpecError(
                        f"route.{name} of {whose}: its path {path} is in the place of {theirs} of {other}. Choose "
                        f"another. {ROUTES.remedy(name)}"
                    )
        taken += mine
        app.include_router(router)


def _paths(routes: Sequence[BaseRoute]) -> list[str]:
    return [route.path for route in routes if isinstance(route, Route)]


def _meet(one: str, other: str) -> bool:
    """Whether an address may be meant by both paths.

    >>> _meet("/v1/models/{id}/size", "/v1/models/{model:path}"), _meet("/v1/pictures/{id}", "/v1/pictures")
    (True, False)
    """
    for mine, theirs in zip_longest(one.strip("/").split("/"), other.strip("/").split("/"), fillvalue=""):
        if ":path}" in mine + theirs:
            return True
        if mine != theirs and not (mine and theirs and "{" in mine + theirs):
            return False
    return True
