"""What legs share that one model makes, where their section names it: `model`, `revision`, `dtype`."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Iterator, Sequence
from threading import Lock
from typing import Any, ClassVar, Generic, TypeVar

from rag.core.memory import Need
from rag.core.protocols import CanRelease
from retrievers.encoders.by_language import BY_LANGUAGE
from retrievers.legs.protocol import MADE_BY, Difference, Facts, LegKind, Mask, Sections, explicit_differences

Model = TypeVar("Model", bound=CanRelease)


class ModelLegKind(LegKind):
    """A kind of leg that says itself how it is built and opened, and what the model takes that its facts describe."""

    holds: ClassVar[str]
    """What its files are, as a plan of memory names them."""

    @abstractmethod
    def model_memory(self, made_by: Facts) -> Sequence[Need]:
        """What the model takes that described itself so. Whether its files are still the same is not looked at."""

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


class ModelLeg(Generic[Model]):
    """An opened leg with the model that made it, and with the filters of its index. Safe to share between threads.

    Args:
        made_by: facts -> the model that they describe; called when it is first asked for, and once.
    """

    def __init__(self, facts: Facts, mask: Mask, *, made_by: Callable[[Facts], Model]) -> None:
        self._facts, self._mask, self._made_by = facts, mask, made_by
        self._lock = Lock()
        self._encoder: Model | None = None

    @property
    def encoder(self) -> Model:
        """What made the leg, and reads its queries.

        Raises:
            IndexMismatch: its files here are not those that the leg was built with.
        """
        with self._lock:
            if self._encoder is None:
                self._encoder = self._made_by(self._facts[MADE_BY])
            return self._encoder

    def release(self) -> None:
        """Let go of the model's weights, if it was asked for; the next query loads them again."""
        if self._encoder is not None:
            self._encoder.release()


def model_differences(
    section: str, wanted: Sections, built: Sections, facts: Facts, *, model: str, dtype: str
) -> Iterator[Difference]:
    """The same for a section that names a model. `model`, `dtype`: its settings for the name and the data type.

    Two names of the same weights are no difference, nor is a model that is left to the build, and a built `auto` is what it
    came to.
    """
    made_by = facts.get(MADE_BY) or {}
    for each in explicit_differences(section, wanted, built):
        if each.path == f"{section}.{model}" and _leaves_or_names(each.wanted, made_by):
            continue
        if each.path == f"{section}.{dtype}":
            yield Difference(each.path, each.wanted, made_by.get(dtype, each.built))
        else:
            yield each


def _leaves_or_names(model: str, made_by: Facts) -> bool:
    """Whether a model is left to the build, or its weights are those that made a leg."""
    return model == BY_LANGUAGE or _weights_here(model) == made_by.get("weights_sha256")


def _weights_here(name: str) -> str:
    """sha256 of the weights of a model on this machine; empty where it is not here."""
    from rag.models import locate, weights_sha256

    folder = locate(name)
    return "" if folder is None else weights_sha256(folder.path)
