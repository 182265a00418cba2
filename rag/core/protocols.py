"""One protocol per stage, those of the collaborators that stages are given, and what parts may say of themselves.

A stage takes a batch and returns a batch. The positional parameters of its method are its input ports, and their
annotations are the types that `rag check` compares; `k` follows as a keyword where a stage cuts. An empty batch gives an
empty list.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Protocol, TypeVar, runtime_checkable

from rag.core.contents import Content
from rag.core.llm_protocols import CanChoose, CanScore, HasWeights
from rag.core.progress import Progress, silent
from rag.core.types import (
    Answer,
    AnswerDelta,
    Completion,
    Context,
    Document,
    Population,
    Prompt,
    Query,
    Ranking,
    SamplingParams,
    ScoredDocument,
    ScorePart,
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


@runtime_checkable
class Retriever(Protocol):
    """One ranking per query, in input order, at most `k` hits each."""

    def retrieve(self, queries: Sequence[Query], *, k: int) -> list[Ranking]: ...


@runtime_checkable
class ScoresDocuments(Protocol):
    """A retriever that can score any document of its index, whether or not it finds it."""

    def scores(self, queries: Sequence[Query], doc_ids: Sequence[Sequence[str]]) -> list[list[float | None]]:
        """For each query the scores of its documents, in order, as `retrieve` gives them. None for one that cannot be had.

        Args:
            doc_ids: of each query; those of hits that whoever asks was given.
        Raises:
            KeyError: a document is of another index.
        """
        ...

    def populations(self, queries: Sequence[Query]) -> list[Population | None]:
        """For each query what its scores come to over all documents that whoever asks may read. None where that is not known."""
        ...


class Fuser(Protocol):
    """Rankings of several sources or query variants -> one per distinct qid, in first-seen order."""

    def fuse(self, rankings: Sequence[Ranking], *, k: int) -> list[Ranking]: ...


@runtime_checkable
class Reranker(Protocol):
    """One ranking per ranking, in order, of documents it was given, each at most once. May cut at `k`."""

    def rerank(self, rankings: Sequence[Ranking], *, k: int) -> list[Ranking]: ...


Gives = TypeVar("Gives")


class Subgraph(Protocol[Gives]):
    """An inner graph that a component is given and may run as often as it likes: `answers: Subgraph[Answer]`.

    A graph file names it. What it gives is checked before anything loads. What its nodes cost, and what became of their
    work, is told beside the outer graph's nodes, so the records that come back cost nothing any more.
    """

    def run(self, queries: Sequence[Query]) -> list[Gives]:
        """What the output node gives, one record per query, in order. Several queries of one qid may be asked at once.

        A query that failed on its way gives an empty record of outcome `failed`; one whose budget is spent is not run and
        gives an empty record of outcome `fallback`.
        """
        ...

    def spent(self, query: Query) -> str:
        """Why the budget runs no more queries for this one, in words; empty while it does."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Inline:
    """Says of a parameter that is a component which one a graph file gets without naming any, and how it may say it shortly.

    `of: Annotated[Reranker, Inline(default="listwise", parameters="params")]` lets a file write
    `of: setwise, params: {votes: 3}` for `of: {use: rerank.setwise, with: {votes: 3}}`.
    """

    default: str
    parameters: str


@runtime_checkable
class JudgingReranker(Reranker, Protocol):
    """A reranker that puts passages side by side before a judge, which can be exchanged."""

    judge: Any


@runtime_checkable
class CanReadAhead(Protocol):
    """A reranker that keeps what it made of a document, and can make it before anybody asks."""

    def read_ahead(self, documents: Sequence[Document], *, progress: Progress = silent) -> int:
        """Read and keep; how many documents were not kept before."""
        ...


class Assembler(Protocol):
    """One context per ranking, in order. A second one behind it takes contexts."""

    def assemble(self, rankings: Sequence[Ranking]) -> list[Context]: ...


class Generator(Protocol):
    """One answer per context, in order; one without passages still gets an answer."""

    def generate(self, contexts: Sequence[Context]) -> list[Answer]: ...


@runtime_checkable
class CanStreamAnswers(Protocol):
    """A generator that hands out its answer piece by piece and ends with the whole."""

    def stream(self, context: Context) -> Iterator[AnswerDelta]: ...


class Checker(Protocol):
    """Answers -> the same answers after a look at them: with verdicts, mended or refused. One per answer, in order.

    What it costs is added to the answer's usage, and what it finds to the counts of the answer's outcome.
    """

    def check(self, answers: Sequence[Answer]) -> list[Answer]: ...


@runtime_checkable
class CanCheckStreams(Protocol):
    """A checker that lets an answer pass piece by piece, and holds back what it may still change."""

    def check_stream(self, pieces: Iterator[AnswerDelta]) -> Iterator[AnswerDelta]:
        """The pieces of one answer; the last has no text and carries the whole. What is joined is its text."""
        ...


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


@runtime_checkable
class ReadsKinds(Protocol):
    """A part that says which kinds of content it reads. One that does not say so reads text alone."""

    @property
    def reads(self) -> frozenset[str]:
        """Names of kinds, such as picture, and text. Asks nobody and loads nothing."""
        ...


@runtime_checkable
class ShowsKinds(Protocol):
    """A stage that puts the bytes of contents of these kinds into passages (`Content.data`), for a model that looks at them."""

    shows: frozenset[str]


class Transform(Protocol):
    """Documents -> documents, one for one, before they are indexed.

    What a transform adds for the index alone goes into `metadata["index_text"]`, so that it never reaches a prompt.
    """

    def transform(self, documents: Sequence[Document]) -> list[Document]: ...


@runtime_checkable
class LooksAtContents(Protocol):
    """A transform that looks at the bytes of what documents hold beside text."""

    @property
    def counts(self) -> Mapping[str, int]:
        """What it did in this build, for the report."""
        ...

    def look(self, read: Callable[[str], bytes], before: Callable[[str], Sequence[Content]]) -> None:
        """Is told, before the first document, how bytes are read by their sha256, and what the index before says of them.

        KeyError where none are kept.
        """
        ...


@runtime_checkable
class KeepsStates(Protocol):
    """A part that keeps what its model made of documents."""

    def states(self) -> Any:
        """What is kept, and how often it was of use; None where nothing is."""
        ...


@runtime_checkable
class SearchesLeg(Protocol):
    """A retriever that searches one part of the index. Its class says which, so that the part gets built."""

    leg: str


@runtime_checkable
class ExplainsHits(Protocol):
    """A retriever whose scores are sums, and which can say of what."""

    def explain_hits(self, query: Query, hits: Sequence[ScoredDocument]) -> list[list[ScorePart]]:
        """For each hit the parts of its score, the greatest first. They sum to the score.

        Args:
            query: the one that the hits were found for.
        Raises:
            KeyError: a hit is of another index.
        """
        ...


@runtime_checkable
class WantsScores(Protocol):
    """A fuser that may want its lists completed before it fuses them (`rag.ranking.completed`)."""

    @property
    def wants_scores(self) -> bool:
        """Whether it does. A graph then completes them, and refuses lists that no retriever gives it directly."""
        ...


@runtime_checkable
class ExplainsFusion(Protocol):
    """A fuser whose scores are sums over the lists that it was given."""

    def explain_fusion(self, rankings: Sequence[Ranking], hits: Sequence[ScoredDocument]) -> list[list[ScorePart]]:
        """For each hit what every list added to its score, the most first. They sum to the score.

        Args:
            rankings: those of one qid, all that were fused.
        """
        ...


@runtime_checkable
class WritesOnePerQuery(Protocol):
    """A reformulator whose class promises one query for each query, so that no fuser has to follow."""

    one_per_query: bool


@runtime_checkable
class NeedsPowers(Protocol):
    """A part that needs more of its model than its parameter's type says: names of methods."""

    needs: Sequence[str]


@runtime_checkable
class AsksModel(Protocol):
    """A part that asks one language model."""

    llm: LLM


@runtime_checkable
class KnowsItsRoom(Protocol):
    """A generator that knows how many tokens of passages its model has room for."""

    def room(self) -> int:
        """Tokens beside prompt and answer. Loads no weights.

        Raises:
            MissingModel: the model is not here yet, so nobody knows.
        """
        ...


@runtime_checkable
class CapsTokens(Protocol):
    """A part with a limit of tokens: of passages for an assembler, of the answer for a generator.

    None, of an assembler, follows the model's window.
    """

    max_tokens: int | None


@runtime_checkable
class ReadsFirst(Protocol):
    """A reranker that looks at the first hits of a ranking alone; the others follow in their order."""

    @property
    def depth(self) -> int | None:
        """How many it looks at; None: all. Asks nobody and loads nothing."""
        ...


@runtime_checkable
class LeavesOut(Protocol):
    """A reranker that may give back fewer hits than it was given. Any other that loses one has broken its contract."""

    leaves_out: ClassVar[tuple[str, ...]]
    """Under which names its outcome counts what it left out."""


@runtime_checkable
class ChecksSources(Protocol):
    """A fuser whose parameters name nodes."""

    def require_sources(self, sources: Collection[str]) -> None:
        """Return if the parameters name no other nodes than these.

        Raises:
            ValueError: they do.
        """
        ...


@runtime_checkable
class CanWarmUp(Protocol):
    """A part that can load now what it would load at its first call."""

    def warm_up(self) -> None: ...


@runtime_checkable
class CanLoadBeside(Protocol):
    """A model that can be loaded while the caller does other work, such as finding what the model is to read."""

    def load_beside(self) -> None:
        """Begin, and return at once. What goes wrong is told by the first call."""
        ...


@runtime_checkable
class CanRelease(Protocol):
    """A part that can give back its memory; whoever uses it next loads again."""

    def release(self) -> None: ...


@runtime_checkable
class CanDescribe(Protocol):
    """A part whose output depends on more than its parameters and prompts, such as the content of a file."""

    def describe(self) -> Mapping[str, Any]:
        """All of that as JSON data, such as digests of files and weights. Loads no weights."""
        ...


@runtime_checkable
class ComputesIn(Protocol):
    """A part whose numbers depend on a data type or a device that it chose itself."""

    def computes_in(self) -> str:
        """What it came to, such as "bfloat16 on cpu"; empty while it does not know. Loads and fetches nothing.

        Raises:
            MissingModel: its model is not here.
        """
        ...


@runtime_checkable
class LoadsModels(Protocol):
    """A part that loads weights by name."""

    @property
    def model_names(self) -> Sequence[tuple[str, str | None]]:
        """Each model's name, as `rag models pull` takes it, and its hub revision. Asks nobody."""
        ...


@runtime_checkable
class Closable(Protocol):
    """An iterator that holds on to something until it is closed, as generators do."""

    def close(self) -> None: ...


def close(pieces: object) -> None:
    """Close an iterator that can be closed."""
    if isinstance(pieces, Closable):
        pieces.close()
