"""Reranking by attention, documents read as independent blocks: any number of them, in any order, once."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import replace
from time import perf_counter
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from rag.core.arguments import require_one_of, require_positive
from rag.core.errors import SpecError
from rag.core.memory import Need
from rag.core.progress import Progress, silent
from rag.core.protocols import LocalLLM, Weights
from rag.core.ranking import require_k
from rag.core.types import Document, Ranking, Usage
from rag.models import home
from rerankers.attention.explain import TokenScore, token_scores
from rerankers.attention.heads.choosing import HeadChoice
from rerankers.attention.heads.head_sets import HeadSet
from rerankers.attention.heads.layout import Plan, make_plan, parse_heads
from rerankers.attention.icr.one_prompt import read_in_one_prompt, reader_of_one_prompt
from rerankers.attention.icr.reranker import ICRReranker
from rerankers.attention.reading.cpp_compiler import require_compiler
from rerankers.attention.reading.prior import Prior
from rerankers.attention.reading.prompt import INSTRUCTIONS, BlockPieces
from rerankers.attention.reading.query_view import Question
from rerankers.attention.reading.weigh import Scores, Weighing, fused
from rerankers.attention.work import AttentionWork
from rerankers.texts import ranked_by

if TYPE_CHECKING:
    from rerankers.attention.reading.blocks import Asked
    from rerankers.attention.reading.reader import BlockReader
    from rerankers.attention.states.kept import StateStore, StoreReport

logger = logging.getLogger(__name__)

_MB = 1 << 20
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

    Args:
        llm: a model in this process, with rotary positions.
        layout: blocks reads every document alone; prompt puts all into one prompt, as `rerank.icr` does, and reads the
            same heads there. Then order and company matter; max_tokens, max_query_tokens, span, over, step, margin,
            budget_ms and keep have no say; and there is an instruction, also before the one null.
        heads: auto takes the head set shipped for these weights, else one published for this model, else all heads.
            Or the name of a set that `rag heads list` knows, the path of one, or heads as "layer-head" from 0, such as
            "17-4".
        depth: how many of a ranking's first hits are read; the others follow in their order. None reads all.
        first_stage_weight: share of the first stage's standardised score in the final one; 0 is attention alone.
        max_tokens: of a document, title included.
        max_query_tokens: of a query.
        instruction: what the lead asks for: ie relevant information, qa an answer; none leaves it out.
        span: rows of the query that are read: its words, or lead, words and the end of the turn.
        nulls: queries without content, of which the mean counts; they are asked only if null_strength is not 0.
        null_instruction: whether the instruction stands before nulls too. Where it says itself what is relevant, the null
            would take that away again.
        null_strength: how much of what they get is taken off, of the prior or of each head; None takes the head set's.
        over: all tokens of a document count, or the best one; None takes the head set's.
        step: candidates read at a time where `margin` or `budget_ms` may end the reading early.
        margin: stop when the k-th best score leads the best of the last step by this many standard deviations.
        budget_ms: stop reading after this time; the unread follow in their order.
        keep: where documents' states stay: memory, disk (under the cache folder, across processes) or nowhere.
        keep_as: number format of kept states.
        keep_mb: most space they take.
        compiled: run the model's layers as torch.compile makes them, which pays where much is read and matrix products are
            fast (see docs/results.md). The first call takes seconds, and it needs a C++ compiler.
    """

    def __init__(
        self,
        *,
        llm: LocalLLM,
        layout: Literal["blocks", "prompt"] = "blocks",
        heads: str | tuple[str, ...] = "auto",
        depth: int | None = None,
        first_stage_weight: float = 0.0,
        max_tokens: int = 128,
        max_query_tokens: int = 256,
        instruction: Literal["ie", "qa", "none"] = "ie",
        span: Literal["words", "suffix"] = "words",
        nulls: tuple[str, ...] = ("N/A",),
        null_instruction: bool = True,
        null_strength: float | None = None,
        over: Literal["all", "best"] | None = None,
        step: int = 20,
        margin: float | None = None,
        budget_ms: float | None = None,
        keep: Literal["memory", "disk", "nowhere"] = "memory",
        keep_as: Literal["bfloat16", "int8"] = "bfloat16",
        keep_mb: int = 512,
        compiled: bool = False,
    ) -> None:
        require_one_of("rerank.attention", (*INSTRUCTIONS, "none"), instruction=instruction)
        require_one_of("rerank.attention", ("blocks", "prompt"), layout=layout)
        require_one_of("rerank.attention", ("words", "suffix"), span=span)
        require_one_of("rerank.attention", ("memory", "disk", "nowhere"), keep=keep)
        require_one_of("rerank.attention", ("bfloat16", "int8"), keep_as=keep_as)
        require_one_of("rerank.attention", ("all", "best"), over=over)
        numbers = {"depth": depth, "max_query_tokens": max_query_tokens, "step": step, "keep_mb": keep_mb}
        require_positive("rerank.attention", **numbers)
        if max_tokens < 8:
            raise ValueError(f"rerank.attention: max_tokens must be at least 8, got {max_tokens}")
        if not 0 <= first_stage_weight <= 1:
            raise ValueError(f"rerank.attention: first_stage_weight must be within 0 and 1, got {first_stage_weight}")
        for name, amount in (("margin", margin), ("budget_ms", budget_ms)):
            if amount is not None and not amount > 0:
                raise ValueError(f"rerank.attention: {name} must be above 0, got {amount}")
        if null_strength is not None and not np.isfinite(null_strength):
            raise ValueError(f"rerank.attention: null_strength must be finite, got {null_strength}")
        if null_strength and not nulls:
            raise ValueError("rerank.attention: a null_strength needs nulls")
        if layout == "prompt" and (instruction == "none" or len(nulls) > 1 or not null_instruction):
            raise ValueError(
                "rerank.attention: layout: prompt has an instruction (ie or qa), also before the null, and one null; "
                f"got instruction={instruction!r}, nulls={nulls!r}, null_instruction={null_instruction}. Leave them as they "
                "are, or use layout: blocks."
            )
        if compiled and layout == "prompt":
            raise ValueError("rerank.attention: compiled is for layout: blocks")
        if compiled:
            require_compiler()
        self._compiled = compiled
        self._llm, self._layout, self._heads, self._depth = llm, layout, HeadChoice.of(heads), depth
        self._in_one_prompt: ICRReranker | None = None
        self._late: Literal["ie", "qa"] = "qa" if instruction == "qa" else "ie"
        self._first_stage_weight = first_stage_weight
        self._max_tokens, self._max_query_tokens, self._span = max_tokens, max_query_tokens, span
        self._instruction = INSTRUCTIONS.get(instruction, "")
        self._nulls, self._null_instruction = nulls, null_instruction
        self._null_strength, self._over = null_strength, over
        self._step, self._margin, self._budget = step, margin, budget_ms
        self._keep, self._keep_as, self._keep_mb = keep, keep_as, keep_mb
        self._made: tuple[BlockReader, HeadSet] | None = None

    def rerank(self, rankings: Sequence[Ranking], *, k: int) -> list[Ranking]:
        """Each ranking's documents by attention, at most `k`, best first; equal scores by doc_id.

        A query whose attention is not finite keeps its order and scores: outcome `fallback`, with layer and head.
        Unread hits get falling scores below the read ones.

        Raises:
            SpecError: the model cannot be read in blocks, or the head set is not for it.
        """
        require_k(k, by="rerank.attention")
        works = [AttentionWork.of(ranking, self._depth) for ranking in rankings]
        to_read = [work for work in works if len(work.head) > 1]
        if to_read and self._layout == "prompt":
            read_in_one_prompt(self._one_prompt(), to_read, first_stage_weight=self._first_stage_weight)
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
        from rerankers.attention.states.ahead import Filling

        if self._keep == "nowhere" or self._layout == "prompt":
            raise SpecError("rerank.attention reads ahead only with layout: blocks and keep: disk or memory")
        fresh, filling = 0, Filling()
        for first in range(0, len(documents), _AHEAD):
            some = documents[first : first + _AHEAD]
            with self._llm.weights() as lent:
                reader, _ = self._reader(lent)
                blocks = [reader.block(each)[0] for each in some]
                with self._switched(reader.decoder):
                    fresh += reader.read(blocks).fresh
            progress("read", first + len(some), len(documents))
            if reader.store is not None and filling.passes(reader.store, blocks):
                logger.warning(
                    "rerank.attention: keep_mb=%d holds the states of about %d of %d documents; raise it to keep all",
                    self._keep_mb,
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
        if self._layout == "prompt":
            return ICRReranker(llm=self._llm, depth=self._depth).memory()
        if self._keep != "memory":
            return []
        return [Need(what="kept states", n_bytes=self._keep_mb * _MB, smaller="lower keep_mb, or keep: disk")]

    def release(self) -> None:
        """Let go of the model, and of states kept in memory. What is kept on disk is found again."""
        self._made = None

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
        if self._layout == "prompt":
            raise SpecError("rerank.attention explains scores only with layout: blocks")
        with self._llm.weights() as lent:
            reader, heads = self._reader(lent)
            with self._switched(reader.decoder):
                (asked,) = reader.ask([reader.query(query)[0]])
                question = self._question(reader, heads, asked)
                return token_scores(question, document, weighing=self._weighing(reader, heads), among=among)

    def rank_texts(self, query: str, texts: Sequence[str]) -> list[tuple[int, float]]:
        """Rerank plain strings, no index needed: (position in `texts`, score), best first.

        Texts are taken to be in first-stage order, best first, which counts only where `first_stage_weight` or `depth`
        say so.
        """
        return ranked_by(self, query, texts)

    def _read(self, works: Sequence[AttentionWork], lent: Weights, k: int) -> None:
        reader, heads = self._reader(lent)
        queries = [reader.query(work.ranking.query.text) for work in works]
        ids = [ids for ids, _ in queries]
        with self._switched(reader.decoder):
            for some in reader.together(ids):
                started = perf_counter()
                asked = reader.ask(ids[some])
                per_token = (perf_counter() - started) / sum(map(len, ids[some]))
                for work, its_ids, (_, cut), seen in zip(works[some], ids[some], queries[some], asked, strict=True):
                    started = perf_counter()
                    work.cut_query = cut
                    self._score(work, self._question(reader, heads, seen), heads, k)
                    seconds = perf_counter() - started + per_token * len(its_ids)
                    work.usage += Usage(calls=1, prompt_tokens=len(its_ids), seconds=seconds)

    def _switched(self, decoder: Any) -> AbstractContextManager[None]:
        """Within, the decoder is read: it calls our attention function."""
        if self._compiled:
            from rerankers.attention.reading.compiled_layers import compiled_and_switched

            return compiled_and_switched(decoder)
        from rerankers.attention.reading.capture import attention_switched

        return attention_switched(decoder)

    def _strength(self, heads: HeadSet) -> float:
        return heads.null_strength if self._null_strength is None else self._null_strength

    def _question(self, reader: BlockReader, heads: HeadSet, asked: Asked) -> Question:
        """A query with the queries without content; without these where nothing of them is subtracted."""
        strength = 0.0 if heads.form == "absolute" else self._strength(heads)
        nulls = [(reader.null(text), strength / len(self._nulls)) for text in self._nulls] if strength else []
        return Question(reader=reader, asked=asked, nulls=nulls, over=self._over or heads.over)

    def _one_prompt(self) -> ICRReranker:
        if self._in_one_prompt is None:
            with self._llm.weights() as lent:
                heads = self._heads_of(lent, context=self._llm.context_window)
            self._in_one_prompt = reader_of_one_prompt(
                self._llm,
                heads,
                null=self._nulls[0] if self._nulls else "N/A",
                strength=self._strength(heads) if self._nulls else 0.0,
                instruction=self._late,
            )
        return self._in_one_prompt

    def _score(self, work: AttentionWork, question: Question, heads: HeadSet, k: int) -> None:
        """Read the candidates, in parts of what memory allows or step by step, and give `work` their scores."""
        started, reader = perf_counter(), question.reader
        weighing = self._weighing(reader, heads)
        stepwise = self._margin is not None or self._budget is not None
        step = min(self._step, reader.at_once) if stepwise else reader.at_once
        by_head, priors = np.empty((len(weighing.weights), len(work.head))), np.empty(len(work.head))
        for first in range(0, len(work.head), step):
            blocks = [reader.block(hit.document) for hit in work.head[first : first + step]]
            read = reader.read([ids for ids, _ in blocks])
            work.usage += Usage(calls=1, prompt_tokens=read.encoded + read.found, cached_tokens=read.found)
            work.cut_documents += sum(cut for _, cut in blocks)
            found, taken_off = question.match(read.keys), read.priors
            work.trouble = question.trouble(found, taken_off)
            if work.trouble:
                return
            done = first + len(blocks)
            by_head[:, first:done], priors[first:done] = found, taken_off
            if not stepwise:
                continue
            work.scores = self._final(work, weighing.score(by_head[:, :done], priors[:done]))
            if self._enough(work.scores, len(blocks), k):
                return
            if self._budget is not None and (perf_counter() - started) * 1000 >= self._budget:
                work.out_of_time = done < len(work.head)
                return
        work.scores = self._final(work, weighing.score(by_head, priors))

    def _final(self, work: AttentionWork, attention: Scores) -> Scores:
        before = np.array([hit.score for hit in work.head[: len(attention)]], dtype=np.float64)
        return fused(attention, before, weight=self._first_stage_weight)

    def _weighing(self, reader: BlockReader, heads: HeadSet) -> Weighing:
        weights = np.array([heads.weight(*name) for name in reader.plan.names])
        absolute = heads.form == "absolute"
        return Weighing(weights=weights, absolute=absolute, strength=self._strength(heads) if absolute else 0.0)

    def _prior(self, heads: HeadSet, config: Any, *, context: int) -> Prior | None:
        if not heads.prior or not self._strength(heads):
            return None
        by_layer = parse_heads(tuple(heads.prior))
        plan = make_plan(config, context=context, heads=by_layer)
        weights = {name: heads.prior[f"{name[0]}-{name[1]}"] for name in plan.names}
        return Prior(nulls=self._nulls, weights=weights, plan=plan)

    def _enough(self, scores: Scores, last: int, k: int) -> bool:
        """Whether the last step's best is so far behind the k-th best that reading on will not change the top."""
        if self._margin is None or len(scores) <= k or len(scores) == last:
            return False
        kth, best_of_last = np.sort(scores)[-k], scores[-last:].max()
        return bool(kth - best_of_last >= self._margin * scores.std())

    def _reader(self, lent: Weights) -> tuple[BlockReader, HeadSet]:
        """A reader of the lent decoder; made at first use, and again should another decoder be lent."""
        from rerankers.attention.reading.reader import BlockReader

        decoder = lent.model.get_decoder()
        if self._made is not None and self._made[0].decoder is decoder:
            return self._made
        pieces = BlockPieces.of(lent.tokenizer, instruction=self._instruction)
        length = pieces.length(max_tokens=self._max_tokens, max_query_tokens=self._max_query_tokens)
        if length > self._llm.context_window:
            raise SpecError(
                f"rerank.attention: a document of {self._max_tokens} tokens (max_tokens) and a query of "
                f"{self._max_query_tokens} (max_query_tokens) take {length} positions with what stands around them, and the "
                f"model's context window has {self._llm.context_window}. Lower one of them."
            )
        heads = self._heads_of(lent, context=length)
        plan = make_plan(decoder.config, context=length, heads=heads.by_layer)
        prior = self._prior(heads, decoder.config, context=length)
        null_lead = pieces.lead if self._null_instruction else pieces.label
        reader = BlockReader(
            decoder,
            lent.tokenizer,
            pieces=pieces,
            plan=plan,
            max_tokens=self._max_tokens,
            max_query_tokens=self._max_query_tokens,
            span=self._span,
            null_lead=null_lead,
            prior=prior,
            store=None if self._keep == "nowhere" else self._store(lent.model, pieces, plan, prior, null_lead),
        )
        self._made = (reader, heads)
        return self._made

    def _heads_of(self, lent: Weights, *, context: int) -> HeadSet:
        from rerankers.attention.heads.identity import name_of, weight_hash

        return self._heads.of_model(
            lent.model.get_decoder().config,
            name=name_of(lent.model),
            weight_hash=weight_hash(lent.model),
            layout=self._layout,
            context=context,
        )

    def _store(
        self, model: Any, pieces: BlockPieces, plan: Plan, prior: Prior | None, null_lead: Sequence[int]
    ) -> StateStore:
        """Where documents' states are kept."""
        from rerankers.attention.heads.identity import head_size, states_identity
        from rerankers.attention.states.kept import StateStore

        # A null stands behind the longest document, after its lead and, where the whole suffix is read, before the end.
        behind = {"lead": list(null_lead), "end": list(pieces.end), "span": self._span, "max_tokens": self._max_tokens}
        of_prior = None if prior is None else prior.in_clear | behind
        identity = states_identity(model, opening=pieces.opening, plan=plan, prior=of_prior, compiled=self._compiled)
        return StateStore(
            home() / "states" if self._keep == "disk" else None,
            identity=identity,
            n_pairs=len(identity["pairs"]),
            head_size=head_size(model.get_decoder().config),
            kind=self._keep_as,
            with_prior=prior is not None,
            budget=self._keep_mb * _MB,
        )

    def states(self) -> StoreReport | None:
        """What is kept of documents, and how often it was of use; None before the first use and where nothing is.

        `seconds_saved` is an estimate: tokens found, at the speed at which this reranker has encoded others.
        """
        reader = None if self._made is None else self._made[0]
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
