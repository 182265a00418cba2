"""Several pipelines behind one server, each under the name that requests call it by."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from rag.core.errors import SpecError
from rag.service.errors import ApiError
from rag.service.service import Service

_SHOWN = 20


class Services:
    """At least one service; the first answers requests that name none."""

    def __init__(self, services: Sequence[Service]) -> None:
        self._by_name = {service.settings.model: service for service in services}
        if len(self._by_name) < len(services) or not services:
            raise SpecError("serve: every model needs a name of its own")

    def __iter__(self) -> Iterator[Service]:
        return iter(self._by_name.values())

    def __len__(self) -> int:
        return len(self._by_name)

    @property
    def first(self) -> Service:
        return next(iter(self))

    def named(self, name: str | None) -> Service:
        """The service that a request asks.

        Raises:
            ApiError: there is none of that name.
        """
        if name is None:
            return self.first
        if name not in self._by_name:
            names = ", ".join(f"'{known}'" for known in list(self._by_name)[:_SHOWN])
            raise ApiError(
                404, f"There is no such model here; there is {names}.", param="model", code="model_not_found"
            )
        return self._by_name[name]

    def part(self, service: Service, name: str) -> str:
        """What a part of a service is called beside those of the others."""
        return name if len(self) == 1 else f"{service.settings.model}/{name}"
