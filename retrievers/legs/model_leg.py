"""What legs share that one model makes, where their section names it: `model`, `revision`, `dtype`."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from threading import Lock
from typing import Any, ClassVar, Generic, TypeVar

from rag.core.memory import Need
from rag.core.protocols import CanRelease
from retrievers.legs.protocol import MADE_BY, Difference, Facts, LegKind, Sections, model_differences

Model = TypeVar("Model", bound=CanRelease)


class ModelLegKind(LegKind):
    """A kind of leg that says itself how it is built and opened, and what the model takes that its facts describe."""

    holds: ClassVar[str]
    """What its files are, as a plan of memory names them."""

    def model_memory(self, made_by: Facts) -> Sequence[Need]:
        """What the model takes that described itself so. Whether its files are still the same is not looked at."""
        raise NotImplementedError

    def differences(self, wanted: Sections, built: Sections, facts: Facts) -> Iterator[Difference]:
        return model_differences(self.section, wanted, built, facts, model="model", dtype="dtype")

    def memory(self, facts: Facts, n_bytes: int) -> list[Need]:
        return [Need(what=self.holds, n_bytes=n_bytes, mapped=True), *self.model_memory(facts[MADE_BY])]

    def model_names(self, facts: Facts) -> list[tuple[str, str | None]]:
        made_by = facts.get(MADE_BY)
        return [(str(made_by["model"]), made_by.get("revision"))] if made_by else []

    def wanted_models(self, settings: Sections) -> list[tuple[str, str | None]]:
        wanted = dict(settings.section(self.section))
        return [(wanted["model"], wanted["revision"])]

    def health(self, leg: Any) -> list[str]:
        return [f"its model {leg.encoder.describe()['model']} is here, with the same weights"]


class Opened(Generic[Model]):
    """A model that is made when it is first asked for, by whichever thread, and once."""

    def __init__(self, make: Callable[[], Model]) -> None:
        self._make, self._lock = make, Lock()
        self._made: Model | None = None

    def __call__(self) -> Model:
        with self._lock:
            if self._made is None:
                self._made = self._make()
            return self._made

    def release(self) -> None:
        """Let go of its weights, if it was made at all."""
        if self._made is not None:
            self._made.release()
