"""Reranking by attention, documents read as independent blocks: any number of them, in any order, once."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import replace
from time import perf_counter
from typing import TYPE_CHECKING, Any

import numpy as np

from rag.core.errors import SpecError
from rag.core.llm_protocols import Weights
from rag.core.memory import Need
from rag.core.options import takes
from rag.core.progress import Progress, silent
from rag.core.ranking import require_k
from rag.core.types import Document, Ranking, Usage
from rerankers.attention.heads.choosing import HeadChoice
from rerankers.attention.heads.head_sets import HeadSet, head_sets_sha256
from rerankers.attention.icr.reranker import ICRReranker
from rerankers.attention.opening import MB, heads_of, null_strength, open_reader
from rerankers.attention.options import AttentionOptions
from rerankers.attention.reading.query_view import Question, TokenScore, token_scores
from rerankers.attention.reading.weigh import Scores, Weighing, fused
from rerankers.attention.work import AttentionWork

if TYPE_CHECKING:
    from rerankers.attention.reading.blocks import QueryVectors
    from rerankers.attention.reading.reader import BlockReader
    from rerankers.attention.states.state_store import StoreReport

logger = logging.getLogger(__name__)

_AHEAD = 64
"""Documents read at a time before anybody asks: bounds memory, keeps the model busy."""


class AttentionReranker:
    """Relevance read from a model's attention, documents as independent blocks. Nothing is generated.

    Every document goes through the first layers alone, behind a short opening; the query goes through them behind
    opening and lead. A head's match is the mean over the query's tokens of -log(1 - p), where p is what the token
    would pay to the document if it stood there alone. A score is the weighed sum of a few trusted heads' matches, less
    the document's prior: what other heads pay to it for a query without content. So neither order nor company of the
    candidates matters, no layer behind the deepest of those heads is run, and what was made of a document serves every
    later query. (Head sets of form standardised, such as published ones, take the null off each head itself and
    standardise what is left over the candidates.)

    In the family of ICR (Chen et al., ICLR 2025, arXiv 2410.02642), with heads chosen as in QRHead (arXiv 2506.09944)
    and CoRe (arXiv 2510.02219), independent blocks as in BlockRank (arXiv 2510.05396), here without training.
    """

    @takes(AttentionOptions)
    def __init__(self, options: AttentionOptions) -> None:
        self.options = options
        self._llm, self._heads = options.llm, HeadChoice.of(options.heads)
        self._in_one_prompt: ICRReranker | None = None
        self._reading: tuple[BlockReader, HeadSet] | None = None

    @property
    def depth(self) -> int | None:
        """How many of a ranking's first hits are read; None: all."""
        return self.options.depth

    def rerank(self, rankings: Sequence[Ranking], *, k: int) -> list[Ranking]:
        """Each ranking's documents by attention, at most `k`, best first; equal scores by doc_id.

        A query whose attention is not finite keeps its order and scores: outcome `fallback`, with layer and head.
        Unread hits get falling scores below the read ones.

        Raises:
            SpecError: the model cannot be read in blocks, or the head set is not for it.
        """
        require_k(k, by="rerank.attention")
        works = [AttentionWork.of(ranking, self.options.depth) for ranking in rankings]
        to_read = [work for work in works if len(work.head) > 1]
        if to_read and self.options.layout == "prompt":
            self._read_in_one_prompt(to_read)
        elif to_read:
            with self._llm.weights() as lent:
                self._read(to_read, lent, k)
        _warn(works)
        return [work.result(k) for work in works]

    def read_ahead(self, documents: Sequence[Document], *, progress: Progress = silent) -> int:
        """Read documents before anybody asks, and keep their states; how many were not kept before.

        States kept of other documents make room, those used longest ago first. It ends where these documents' own fill
        `keep_mb`: to go on would push out what it has just read.

        Raises:
            SpecError: nothing is kept (keep: nowhere), or the layout is one prompt, whose states serve no other.
        """
        from rerankers.attention.states.state_store import Filling

        if self.options.keep == "nowhere" or self.options.layout == "prompt":
            raise SpecError("rerank.attention reads ahead only with layout: blocks and keep: disk or memory")
        fresh, filling = 0, Filling()
        for first in range(0, len(documents), _AHEAD):
            part = documents[first : first + _AHEAD]
            with self._llm.weights() as lent:
                reader, _ = self._reader(lent)
                blocks = [reader.block(each)[0] for each in part]
                with self._switched(reader.decoder):
                    fresh += reader.read(blocks).fresh
            progress("read", first + len(part), len(documents))
            if reader.store is not None and filling.passes(reader.store, blocks):
                logger.warning(
                    "rerank.attention: keep_mb=%d holds the states of about %d of %d documents; raise it to keep all",
                    self.options.keep_mb,
                    first,
                    len(documents),
                )
                break
        return fresh

    def memory(self) -> list[Need]:
        """States that are kept in memory, or the states of one prompt; weights and batches are the model's own.

        Raises:
            MissingModel: the model is not here yet.
        """
        if self.options.layout == "prompt":
            return ICRReranker(llm=self._llm, depth=self.options.depth).memory()
        if self.options.keep != "memory":
            return []
        return [Need(what="kept states", n_bytes=self.options.keep_mb * MB, smaller="lower keep_mb, or keep: disk")]

    def describe(self) -> dict[str, str]:
        """The head sets of the package: by default the one for the model is read."""
        return {"head_sets": head_sets_sha256()}

    def release(self) -> None:
        """Let go of the model, and of states kept in memory. What is kept on disk is found again."""
        self._reading = None

    def explain(self, query: str, document: Document, *, among: Sequence[Document] = ()) -> list[TokenScore]:
        """What made a document's score: every token of its text that was read, in order, with its part of the match.

        Parts are weighted over heads, and less those of the prior or the null query; a token can take away as well as add.
        With those of the title and of what closes a document, which stand for no character of its text, they add up to the
        document's score by attention. Where the head set's form is standardised they do so only with the candidates as
        `among`, by whose spread each head's matches are then divided, and but for a constant that all candidates share.

        Raises:
            SpecError: the layout is one prompt, where a document's part is not its own.
            StageError: the attention is not finite.
        """
        if self.options.layout == "prompt":
            raise SpecError("rerank.attention explains scores only with layout: blocks")
        with self._llm.weights() as lent:
            reader, heads = self._reader(lent)
            with self._switched(reader.decoder):
                (vectors,) = reader.ask([reader.query(query)[0]])
                question = self._question(reader, heads, vectors)
                return token_scores(question, document, weighing=self._weighing(reader, heads), among=among)

    def _read(self, works: Sequence[AttentionWork], lent: Weights, k: int) -> None:
        reader, heads = self._reader(lent)
        queries = [reader.query(work.ranking.query.text) for work in works]
        ids = [ids for ids, _ in queries]
        with self._switched(reader.decoder):
            for part in reader.together(ids):
                started = perf_counter()
                views = reader.ask(ids[part])
                per_token = (perf_counter() - started) / sum(map(len, ids[part]))
                for work, its_ids, (_, cut), view in zip(works[part], ids[part], queries[part], views, strict=True):
                    started = perf_counter()
                    work.cut_query = cut
                    self._score(work, self._question(reader, heads, view), heads, k)
                    seconds = perf_counter() - started + per_token * len(its_ids)
                    work.usage += Usage(calls=1, prompt_tokens=len(its_ids), seconds=seconds)

    def _switched(self, decoder: Any) -> AbstractContextManager[None]:
        """Within, the decoder is read: it calls our attention function."""
        if self.options.compiled:
            from rerankers.attention.reading.compiled_layers import compiled_and_switched

            return compiled_and_switched(decoder)
        from rerankers.attention.reading.capture import attention_switched

        return attention_switched(decoder)

    def _question(self, reader: BlockReader, heads: HeadSet, query: QueryVectors) -> Question:
        """A query with the queries without content; without these where nothing of them is subtracted."""
        strength = 0.0 if heads.form == "absolute" else null_strength(heads, self.options)
        nulls = (
            [(reader.null(text), strength / len(self.options.nulls)) for text in self.options.nulls] if strength else []
        )
        return Question(reader=reader, query=query, nulls=nulls, over=self.options.over or heads.over)

    def _read_in_one_prompt(self, works: Sequence[AttentionWork]) -> None:
        """Give every work the scores that its first candidates get in one prompt, or what went wrong."""
        head_rankings = [replace(work.ranking, hits=work.head) for work in works]
        rankings = self._one_prompt().rerank(head_rankings, k=max(len(each.hits) for each in head_rankings))
        for work, ranking in zip(works, rankings, strict=True):
            work.usage, work.prompt_outcome = ranking.usage, ranking.outcome
            if ranking.outcome.kind != "fallback":
                scores = {hit.doc_id: hit.score for hit in ranking.hits}
                attention = np.array([scores[hit.doc_id] for hit in work.head])
                before = np.array([hit.score for hit in work.head], dtype=np.float64)
                work.scores = fused(attention, before, weight=self.options.first_stage_weight)

    def _one_prompt(self) -> ICRReranker:
        if self._in_one_prompt is None:
            with self._llm.weights() as lent:
                heads = heads_of(lent, self._heads, layout="prompt", context=self._llm.context_window)
            strength = null_strength(heads, self.options) if self.options.nulls else 0.0
            self._in_one_prompt = ICRReranker(
                llm=self._llm,
                heads=tuple(heads.weights),
                head_weights=heads.weights,
                instruction="qa" if self.options.instruction == "qa" else "ie",
                null=self.options.nulls[0] if self.options.nulls else "N/A",
                null_strength=strength,
                calibrate=strength != 0,
            )
        return self._in_one_prompt

    def _score(self, work: AttentionWork, question: Question, heads: HeadSet, k: int) -> None:
        """Read the candidates, in parts of what memory allows or step by step, and give `work` their scores."""
        started, reader = perf_counter(), question.reader
        weighing = self._weighing(reader, heads)
        stepwise = self.options.margin is not None or self.options.budget_ms is not None
        step = min(self.options.step, reader.at_once) if stepwise else reader.at_once
        by_head, priors = np.empty((len(weighing.weights), len(work.head))), np.empty(len(work.head))
        for first in range(0, len(work.head), step):
            blocks = [reader.block(hit.document) for hit in work.head[first : first + step]]
            read = reader.read([ids for ids, _ in blocks])
            work.usage += Usage(calls=1, prompt_tokens=read.encoded + read.reused, cached_tokens=read.reused)
            work.cut_documents += sum(cut for _, cut in blocks)
            matched, of_prior = question.match(read.keys), read.priors
            work.trouble = question.trouble(matched, of_prior)
            if work.trouble:
                return
            done = first + len(blocks)
            by_head[:, first:done], priors[first:done] = matched, of_prior
            if not stepwise:
                continue
            work.scores = self._final(work, weighing.score(by_head[:, :done], priors[:done]))
            if self._enough(work.scores, len(blocks), k):
                return
            if self.options.budget_ms is not None and (perf_counter() - started) * 1000 >= self.options.budget_ms:
                work.out_of_time = done < len(work.head)
                return
        work.scores = self._final(work, weighing.score(by_head, priors))

    def _final(self, work: AttentionWork, attention: Scores) -> Scores:
        before = np.array([hit.score for hit in work.head[: len(attention)]], dtype=np.float64)
        return fused(attention, before, weight=self.options.first_stage_weight)

    def _weighing(self, reader: BlockReader, heads: HeadSet) -> Weighing:
        weights = np.array([heads.weight(*name) for name in reader.plan.names])
        absolute = heads.form == "absolute"
        return Weighing(
            weights=weights, absolute=absolute, strength=null_strength(heads, self.options) if absolute else 0.0
        )

    def _enough(self, scores: Scores, last: int, k: int) -> bool:
        """Whether the last step's best is so far behind the k-th best that reading on will not change the top."""
        if self.options.margin is None or len(scores) <= k or len(scores) == last:
            return False
        kth, best_of_last = np.sort(scores)[-k], scores[-last:].max()
        return bool(kth - best_of_last >= self.options.margin * scores.std())

    def _reader(self, lent: Weights) -> tuple[BlockReader, HeadSet]:
        """A reader of the lent decoder; made at first use, and again should another decoder be lent."""
        if self._reading is None or self._reading[0].decoder is not lent.model.get_decoder():
            self._reading = open_reader(lent, self._heads, self.options)
        return self._reading

    def states(self) -> StoreReport | None:
        """What is kept of documents, and how often it was of use; None before the first use and where nothing is.

        `seconds_saved` is an estimate: tokens found, at the speed at which this reranker has encoded others.
        """
        reader = None if self._reading is None else self._reading[0]
        if reader is None or reader.store is None:
            return None
        return replace(reader.store.report(), seconds_saved=reader.seconds_saved)


def _warn(works: Sequence[AttentionWork]) -> None:
    """One warning for the batch, if anything did not go as asked."""
    odd = [(work.ranking.qid, outcome) for work in works if (outcome := work.outcome()).kind != "ok"]
    if odd:
        qid, outcome = odd[0]
        logger.warning(
            "rerank.attention: %d of %d rankings not as asked; first: qid '%s': %s",
            len(odd),
            len(works),
            qid,
            outcome.detail,
        )
