"""One protocol per stage, and those of the collaborators that stages are given.

A stage takes a batch and returns a batch. The positional parameters of its method are its input ports, and their
annotations are the types that `rag check` compares; `k` follows as a keyword where a stage cuts. An empty batch gives an
empty list.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any, Literal, Protocol, runtime_checkable

from rag.core.progress import Progress, silent
from rag.core.types import (
    Answer,
    AnswerDelta,
    Completion,
    Context,
    Document,
    Prompt,
    Query,
    Ranking,
    SamplingParams,
)

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


class Reformulator(Protocol):
    """Query -> queries. Variants keep the qid and follow one another; `usage` is on the first of them."""

    def reformulate(self, queries: Sequence[Query]) -> list[Query]: ...


class FeedbackReformulator(Protocol):
    """Queries and what a first retrieval found for them -> queries. One feedback ranking per query, in order."""

    def reformulate(self, queries: Sequence[Query], feedback: Sequence[Ranking]) -> list[Query]: ...


class Retriever(Protocol):
    """One ranking per query, in input order, at most `k` hits each."""

    def retrieve(self, queries: Sequence[Query], *, k: int) -> list[Ranking]: ...


class Fuser(Protocol):
    """Rankings of several sources or query variants -> one per distinct qid, in first-seen order."""

    def fuse(self, rankings: Sequence[Ranking], *, k: int) -> list[Ranking]: ...


class Reranker(Protocol):
    """One ranking per ranking, in order, of documents it was given, each at most once. May cut at `k`."""

    def rerank(self, rankings: Sequence[Ranking], *, k: int) -> list[Ranking]: ...


@runtime_checkable
class CanReadAhead(Protocol):
    """A reranker that keeps what it made of a document, and can make it before anybody asks."""

    def read_ahead(self, documents: Sequence[Document], *, progress: Progress = silent) -> int:
        """Read and keep; how many documents were not kept before."""
        ...


class Assembler(Protocol):
    """One context per ranking, in order."""

    def assemble(self, rankings: Sequence[Ranking]) -> list[Context]: ...


class Generator(Protocol):
    """One answer per context, in order; one without passages still gets an answer."""

    def generate(self, contexts: Sequence[Context]) -> list[Answer]: ...


@runtime_checkable
class CanStreamAnswers(Protocol):
    """A generator that hands out its answer piece by piece and ends with the whole."""

    def stream(self, context: Context) -> Iterator[AnswerDelta]: ...


@runtime_checkable
class CanSample(Protocol):
    """A generator that can write with other sampling than its graph says, such as a caller's temperature."""

    def with_sampling(self, **changes: Any) -> Generator:
        """The same with these fields of `SamplingParams` changed; what is loaded is shared.

        Raises:
            TypeError: `SamplingParams` has no such field.
        """
        ...


@runtime_checkable
class LLM(Protocol):
    """A language model behind stages. It loads at its first call, never when it is made."""

    @property
    def context_window(self) -> int:
        """Tokens that prompt and completion may have together. Reading it loads no weights."""
        ...

    def count_tokens(self, prompts: Sequence[Prompt]) -> list[int]:
        """Tokens of each prompt, with those of the chat template."""
        ...

    def complete(self, prompts: Sequence[Prompt], params: SamplingParams) -> list[Completion]: ...


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


class ScoringLLM(LLM, CanScore, Protocol):
    """What a stage asks for when it needs log-probabilities of given texts."""


class ChoosingLLM(LLM, CanChoose, Protocol):
    """What a stage asks for when it needs constrained choice."""


class LocalLLM(LLM, HasWeights, Protocol):
    """What a stage asks for when it reads inside the model."""


class Encoder(Protocol):
    """Text -> vectors."""

    def encode(self, texts: Sequence[str], *, role: Literal["query", "document"]) -> NDArray[np.float32]:
        """float32 [n, dim], unit norm where the model's own files say so."""
        ...


class PairScorer(Protocol):
    """(query, document) texts -> relevance, float32 [n]."""

    def score(self, pairs: Sequence[tuple[str, str]]) -> NDArray[np.float32]: ...


class Transform(Protocol):
    """Documents -> documents, one for one, before they are indexed.

    What a transform adds for the index alone goes into `metadata["index_text"]`, so that it never reaches a prompt.
    """

    def transform(self, documents: Sequence[Document]) -> list[Document]: ...
