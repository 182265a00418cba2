"""What a language model may be able to do beside `rag.core.protocols.LLM`: small protocols, checked on the instance."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

from rag.core.memory import Need
from rag.core.types import Prompt, SamplingParams

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


@runtime_checkable
class CanStream(Protocol):
    """An LLM that writes piece by piece. Closing the iterator stops it.

    An iterator that is a generator may return the Completion as its value; else callers count tokens afterwards.
    """

    def stream(self, prompt: Prompt, params: SamplingParams) -> Iterator[str]: ...


@runtime_checkable
class CanStreamTogether(CanStream, Protocol):
    """An LLM that writes the streams that are open at a time in one batch: as streams, answers cost no more than as a
    batch, and one that is closed leaves it. Callers then need no `complete` to write many."""

    @property
    def streams_together(self) -> bool:
        """Whether this instance does. Asks nobody and loads nothing."""
        ...


@runtime_checkable
class JoinsCalls(Protocol):
    """An LLM that works on the calls of several threads in one batch: many calls cost no more than one of many prompts."""

    @property
    def joins_calls(self) -> bool:
        """Whether this instance does. Asks nobody and loads nothing."""
        ...


@runtime_checkable
class CanScore(Protocol):
    """An LLM that says how likely given continuations are."""

    def score(self, prompts: Sequence[Prompt], continuations: Sequence[str]) -> list[list[float]]:
        """Natural-log probability of every token of `continuations[i]` after `prompts[i]`."""
        ...


@runtime_checkable
class CanChoose(Protocol):
    """An LLM that picks from a closed list."""

    def choose(self, prompts: Sequence[Prompt], choices: Sequence[str]) -> NDArray[np.float32]:
        """float32 [n_prompts, n_choices]: log-probability of each whole choice, summed over its tokens."""
        ...


@runtime_checkable
class KnowsItsLimits(Protocol):
    """An LLM that has methods which not all of its instances can serve. Both properties ask nobody and load nothing."""

    @property
    def lacks(self) -> Mapping[str, str]:
        """Methods of this instance that would only raise -> why."""
        ...

    @property
    def may_lack(self) -> Mapping[str, str]:
        """Methods that may turn out to raise -> what that depends on."""
        ...


@runtime_checkable
class CanKeepForms(Protocol):
    """An LLM that can hold a whole completion to a form."""

    @property
    def keeps_forms(self) -> frozenset[str]:
        """Which fields of `SamplingParams` it keeps to, of choices, regex and json_schema. It may ask a server."""
        ...


@runtime_checkable
class HasWeights(Protocol):
    """An LLM whose weights live in this process and may be read by others, such as the attention reranker."""

    def weights(self) -> AbstractContextManager[Weights]:
        """Load if need be, hold the model's lock, and lend model and tokenizer. Nobody edits what is lent."""
        ...


class Weights(Protocol):
    """A lent transformers decoder and its tokenizer. Whoever borrows them leaves both exactly as they were."""

    @property
    def model(self) -> Any: ...
    @property
    def tokenizer(self) -> Any: ...


@runtime_checkable
class SignsItsWork(Protocol):
    """An LLM that says which weights write, for caches and indexes that must not mix the texts of two models."""

    def signature(self) -> Mapping[str, str] | None:
        """JSON data that two models share only if they are the same; None where that is not known. May fetch weights."""
        ...


@runtime_checkable
class SaysState(Protocol):
    """A model that can be away, such as one behind a server."""

    def state(self) -> str:
        """A line that says how it is.

        Raises:
            MissingModel, MissingDependency: it does not work; says why.
        """
        ...


@runtime_checkable
class StandsInAFile(Protocol):
    """A model whose warnings say where it stands in a graph file."""

    place: str
    """`file:line: model 'name'`, set when the graph is read; empty for a model that stands alone."""


@runtime_checkable
class CountsPromptMemory(Protocol):
    """An LLM that knows what a long prompt takes beside its own batches."""

    def prompt_memory(self, tokens: int) -> Need: ...


@runtime_checkable
class CountsCached(Protocol):
    """An LLM that says how many tokens of the prompts it just scored another prompt's cache held."""

    @property
    def last_cached(self) -> Sequence[int]: ...


@runtime_checkable
class KeepsPrompts(Protocol):
    """An LLM that keeps what it read of its last prompts, so that one that begins like one of them is not read again.

    `kept_prompts`: of how many. Whoever asks twice about each of many prompts goes so many at a time.
    """

    @property
    def kept_prompts(self) -> int: ...


@runtime_checkable
class KnowsItsSpeed(Protocol):
    """An LLM that knows how fast it reads on this machine."""

    def reading_speed(self) -> float:
        """Tokens a second. Measured at the first call for a model and a machine, which takes seconds, and kept."""
        ...
