"""The records that travel through a graph. They never change; a stage returns new ones.

Query -> Ranking -> Context -> Answer, always in batches. Order of hits is rank order: best first, ties by
doc_id ascending (`rag.core.ranking` decides it). Rank counts from 1 and is never stored. A higher score is better.
Every record carries what the node that made it did: `outcome` and `usage`. This module imports nothing of ours but
filters and contents.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, overload

from rag.core.contents import Content, digest_of

if TYPE_CHECKING:
    import pandas as pd

    from rag.core.filters import Where as Where


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What became of the work behind a record, worst call first.

    `ok`: as asked. `empty`: nothing to work on, such as a query without a term the index knows. `repaired`: bad model
    output was mended. `fallback`: the input was passed on unchanged. `failed`: nothing usable. `counts` says how often,
    by kind: {"calls": 9, "repeated": 2}.
    """

    kind: Literal["ok", "empty", "repaired", "fallback", "failed"] = "ok"
    detail: str = ""
    counts: Mapping[str, int] = field(default_factory=dict, hash=False)


OK = Outcome()


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """What a record cost: model calls, tokens read, tokens found in a cache, tokens written, seconds."""

    calls: int = 0
    prompt_tokens: int = 0
    cached_tokens: int = 0
    new_tokens: int = 0
    seconds: float = 0.0

    def __add__(self, other: Usage) -> Usage:
        return Usage(
            calls=self.calls + other.calls,
            prompt_tokens=self.prompt_tokens + other.prompt_tokens,
            cached_tokens=self.cached_tokens + other.cached_tokens,
            new_tokens=self.new_tokens + other.new_tokens,
            seconds=self.seconds + other.seconds,
        )

    def __sub__(self, other: Usage) -> Usage:
        return Usage(
            calls=self.calls - other.calls,
            prompt_tokens=self.prompt_tokens - other.prompt_tokens,
            cached_tokens=self.cached_tokens - other.cached_tokens,
            new_tokens=self.new_tokens - other.new_tokens,
            seconds=self.seconds - other.seconds,
        )


NO_USAGE = Usage()


class _MayWait:
    """Room for what a document is read from, where that waits until it is looked at (`retrievers.index.documents`)."""

    __slots__ = ("unread",)
    unread: Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Document(_MayWait):
    """A unit of retrieval: a whole document or one chunk of it.

    `title` of a chunk is the document's title and its heading path. A chunk's `metadata` holds `parent` (doc_id of
    the document), `source` (relative path), `start` and `end` (characters in the parent's text) and, where known,
    `page` (from 1) and `headings`. `contents` are what stands beside the text, such as pictures, in reading order.
    """

    doc_id: str
    text: str
    title: str = ""
    metadata: Mapping[str, Any] = field(default_factory=dict, hash=False)
    contents: tuple[Content, ...] = ()

    @property
    def full_text(self) -> str:
        """Title, a space and the text: what rerankers and encoders read."""
        return f"{self.title} {self.text}" if self.title else self.text

    @property
    def index_text(self) -> str:
        """What legs index: what a corpus transform wrote for them, else the full text."""
        return str(self.metadata.get("index_text", self.full_text))

    @property
    def model_text(self) -> str:
        """What models of legs read: what stands for many rows of a long table alike, else what legs index."""
        return str(self.metadata.get("model_text", self.index_text))

    @property
    def digest(self) -> bytes:
        """sha256 of what a model can read of it: the full text, and the contents if there are any."""
        return digest_of(self.full_text, self.contents)

    @property
    def parent(self) -> str:
        """doc_id of the document this is a chunk of; its own doc_id when it is whole."""
        return str(self.metadata.get("parent", self.doc_id))


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """One turn of a chat. A prompt whose last turn is the assistant's is continued, not answered."""

    role: Literal["system", "user", "assistant"]
    content: str
    contents: tuple[Content, ...] = ()


Prompt = Sequence[Message]


@dataclass(frozen=True, slots=True, kw_only=True)
class QueryPart:
    """One text of a query that dense legs average; `role` says which side of the encoder reads it."""

    text: str
    weight: float = 1.0
    role: Literal["query", "document"] = "query"


@dataclass(frozen=True, slots=True, kw_only=True)
class Query:
    """A question. Variants that a reformulator writes keep the qid and remember the asked text in `original`.

    `stand_alone`: a turn of a conversation, written out so that it is understood without the turns before it.
    `parts`: what dense legs average instead of `text`, when not empty. `terms`: analysed term -> weight, what lexical
    legs score instead of `text`, when not empty. `where`: a metadata filter in any of its forms (`rag.core.filters`), applied
    before scoring on every leg; who asks is a part of it (`rag.core.filters.asked_by`). `within`: qid of the query that an
    inner graph was run for; see `rag.graph.inner`.
    `contents`: what is asked with beside the text, such as a picture. `wishes`: what the application that asks wants of the
    answer, such as its language; prompts put it below their own rules.
    """

    qid: str
    text: str
    original: str | None = None
    stand_alone: str | None = None
    parts: tuple[QueryPart, ...] = ()
    terms: Mapping[str, float] = field(default_factory=dict, hash=False)
    where: Where | None = field(default=None, hash=False)
    history: tuple[Message, ...] = ()
    wishes: str = ""
    contents: tuple[Content, ...] = ()
    outcome: Outcome = OK
    usage: Usage = NO_USAGE
    within: str | None = None

    @property
    def outer_qid(self) -> str:
        """The qid that the outermost run knows: its own, but for a query of an inner graph."""
        return self.within or self.qid

    @property
    def asked(self) -> str:
        """The text as the user typed it."""
        return self.text if self.original is None else self.original

    @property
    def root(self) -> Query:
        """The asked query: without what reformulators added, but understandable alone, for rerankers read no history."""
        if self.stand_alone is not None:
            return Query(
                qid=self.qid,
                text=self.stand_alone,
                original=self.asked,
                stand_alone=self.stand_alone,
                where=self.where,
                history=self.history,
                wishes=self.wishes,
                within=self.within,
                contents=self.contents,
            )
        if self.original is None and not self.parts and not self.terms:
            return self
        return Query(
            qid=self.qid,
            text=self.asked,
            where=self.where,
            history=self.history,
            wishes=self.wishes,
            within=self.within,
            contents=self.contents,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class ScoredDocument:
    """A hit: a document and its score, higher is better.

    `relevance`: what the score is worth, from 0 to 1; None where nobody calibrated it.
    """

    document: Document
    score: float
    relevance: float | None = None

    @property
    def doc_id(self) -> str:
        return self.document.doc_id

    @property
    def text(self) -> str:
        return self.document.text

    @property
    def title(self) -> str:
        return self.document.title

    @property
    def metadata(self) -> Mapping[str, Any]:
        return self.document.metadata

    def __repr__(self) -> str:
        from rag.core.shown import hit_line

        return hit_line(self)


@dataclass(frozen=True, slots=True, kw_only=True)
class Population:
    """What a query's scores come to over all documents of an index that whoever asks may read, found or not.

    A filter of the query does not change it. `n`: documents. `mean` and `deviation`: of their scores, where a document
    without a word of the question has what its leg gives such documents, most often 0. `fit`: the part of them, 0 to 1,
    that is in a language which the leg's model was made for; 1 where nothing is known of that.
    """

    n: int
    mean: float
    deviation: float
    fit: float = 1.0


class _OfQuery:
    """What belongs to one query has its ids."""

    __slots__ = ()
    query: Query

    @property
    def qid(self) -> str:
        return self.query.qid

    @property
    def outer_qid(self) -> str:
        return self.query.outer_qid


@dataclass(frozen=True, slots=True, kw_only=True)
class Ranking(_OfQuery):
    """Hits of one query in rank order. `source` is the node that made it. Iterates and indexes like its hits.

    `population` and `other_scores` are there once the list is completed for a fusion (`rag.ranking.completed`):
    `other_scores` has the true scores, by doc_id, of documents that are no hits of this list and are hits of another.
    `near`: words of the question that hardly a document has, and the words that were searched for them, here or in a list
    that this one was made of.
    """

    query: Query
    hits: tuple[ScoredDocument, ...] = ()
    source: str = ""
    outcome: Outcome = OK
    usage: Usage = NO_USAGE
    population: Population | None = None
    other_scores: Mapping[str, float] = field(default_factory=dict, hash=False)
    near: Mapping[str, tuple[str, ...]] = field(default_factory=dict, hash=False)

    @property
    def doc_ids(self) -> tuple[str, ...]:
        return tuple([hit.document.doc_id for hit in self.hits])

    def __iter__(self) -> Iterator[ScoredDocument]:
        return iter(self.hits)

    def __len__(self) -> int:
        return len(self.hits)

    @overload
    def __getitem__(self, place: int) -> ScoredDocument: ...
    @overload
    def __getitem__(self, place: slice) -> tuple[ScoredDocument, ...]: ...
    def __getitem__(self, place: int | slice) -> ScoredDocument | tuple[ScoredDocument, ...]:
        return self.hits[place]

    def to_pandas(self) -> pd.DataFrame:
        """A row for each hit: qid, rank, doc_id, score, relevance, title, text, metadata. `pandas.concat` joins several.

        Raises:
            MissingDependency: pandas is not installed.
        """
        from rag.core.shown import frame_of

        return frame_of(self.qid, self.hits)

    def __repr__(self) -> str:
        from rag.core.shown import ranking_line

        return ranking_line(self.query.asked, self.hits)

    def _repr_html_(self) -> str:
        from rag.core.shown import ranking_html

        return ranking_html(self.query.asked, self.hits)


Run = list[Ranking]


@dataclass(frozen=True, slots=True, kw_only=True)
class ScorePart:
    """One part of a hit's score. All parts of a hit sum to its score.

    `of_query`: what of the query, such as a word, or the list that a fuser was given. `of_document`: what of the document
    it met; empty where it met nothing and the score changes all the same. `how`: how the amount came about, in words.
    """

    of_query: str
    of_document: str
    score: float
    how: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Settled:
    """An answer that was worked out, not written: no generator is asked, and no check holds it against passages."""

    text: str
    citations: tuple[Citation, ...] = ()
    status: Literal["answered", "no_answer"] = "answered"
    outcome: Outcome = OK


@dataclass(frozen=True, slots=True, kw_only=True)
class Highlight:
    """A part of the text of `Context.passages[marker - 1]`: from the character `start` to before `end`."""

    marker: int
    start: int
    end: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Context(_OfQuery):
    """What a generator reads. `passages[i]` is cited as [i + 1]; `n_tokens` counts the passages alone.

    `highlights`: what of the passages is nearest to the question, the nearest first. `settled`: the answer, where it was
    worked out before a generator was asked.
    """

    query: Query
    passages: tuple[ScoredDocument, ...] = ()
    n_tokens: int = 0
    highlights: tuple[Highlight, ...] = ()
    settled: Settled | None = None
    outcome: Outcome = OK
    usage: Usage = NO_USAGE


@dataclass(frozen=True, slots=True, kw_only=True)
class SamplingParams:
    """How a model writes. Greedy by default.

    At most one of `choices`, `regex` and `json_schema` (JSON text) holds the whole completion to a form; a model that
    cannot keep to forms refuses them, it never ignores them.
    """

    max_tokens: int = 256
    temperature: float = 0.0
    top_p: float = 1.0
    stop: tuple[str, ...] = ()
    logprobs: int = 0
    seed: int = 0
    choices: tuple[str, ...] = ()
    regex: str = ""
    json_schema: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Completion:
    """What a model wrote. `finish_reason`: `stop` (end of turn or stop string), `length` or `abort`."""

    text: str
    prompt_tokens: int = 0
    completion_tokens: int = 0
    cached_tokens: int = 0
    finish_reason: str = "stop"
    logprobs: tuple[Mapping[str, float], ...] | None = field(default=None, hash=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Citation:
    """One pointer from an answer to a passage.

    `marker` is the passage's number from 1. `start` and `end` are the characters of `Answer.text` that it supports: the
    marker itself when the model wrote it, the supported sentence when it was attributed afterwards. `similar`: whether a
    sentence of the passage has at least a quarter of the words that it is cited for. False is a warning; True is no
    proof, as words alone were compared.
    """

    marker: int
    doc_id: str
    start: int
    end: int
    by: Literal["model", "attribution"] = "model"
    similar: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What a check says of one sentence of an answer: the characters `start` to `end` of `Answer.text`.

    `supported` and `contradicted`: a passage says so, or says otherwise. `unsupported`: no passage says so. `similar`: a
    passage is like it in what the means looks at, which was not measured to be support. `by` names the means, `marker` the
    passage, from 1, if one decided. `score`: the means' own number, higher for more support; only scores of the same means
    compare. `not_copied`: numbers and names of the sentence that neither a passage nor the question has.
    """

    start: int
    end: int
    kind: Literal["supported", "contradicted", "unsupported", "similar"]
    by: str
    score: float
    marker: int | None = None
    not_copied: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer(_OfQuery):
    """An answer, the context it was written from, the passages it cites, and what checks say of its sentences.

    `confidence`: the calibrated chance that it is right; None where nobody calibrated one. `likelihood`: the mean
    log-probability that the model gave the tokens it wrote, 0 at most; None where it was not asked for. `enough`: the
    log-odds, by the model, that the passages answer the question; None where it was not asked.
    """

    query: Query
    text: str
    context: Context
    citations: tuple[Citation, ...] = ()
    verdicts: tuple[Verdict, ...] = ()
    confidence: float | None = None
    likelihood: float | None = None
    enough: float | None = None
    status: Literal["answered", "no_answer", "failed"] = "answered"
    finish_reason: str = "stop"
    outcome: Outcome = OK
    usage: Usage = NO_USAGE

    def __repr__(self) -> str:
        from rag.core.shown import answer_line

        passages = self.context.passages
        return answer_line(self.query.asked, self.status, self.text, len(self._cited), len(passages))

    def _repr_html_(self) -> str:
        from rag.core.shown import answer_html

        return answer_html(self.query.asked, self.status, self.text, self.context.passages, self._cited)

    @property
    def _cited(self) -> frozenset[int]:
        return frozenset(citation.marker for citation in self.citations)


@dataclass(frozen=True, slots=True, kw_only=True)
class AnswerDelta:
    """A piece of a streamed answer. The last one has no text and carries the whole `answer`."""

    text: str = ""
    answer: Answer | None = None


def __getattr__(name: str) -> Any:
    """`Where` when it is first asked for: the language of filters costs as much as all records together."""
    if name != "Where":
        raise AttributeError(f"module '{__name__}' has no attribute '{name}'")
    from rag.core.filters import Where

    return Where
