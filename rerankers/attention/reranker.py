"""Reranking by attention, documents read as independent blocks: any number of them, in any order, once."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from rag.errors import SpecError
from rag.memory import Need
from rag.models import home
from rag.progress import Progress, silent
from rag.protocols import LocalLLM, Weights
from rag.ranking import require_k
from rag.types import Document, Ranking, Usage
from rerankers.attention.head_sets import HeadSet, check_head_set, find_head_set, read_head_set
from rerankers.attention.heads import Plan, make_plan, parse_heads
from rerankers.attention.one_prompt import read_in_one_prompt, reader_of_one_prompt
from rerankers.attention.prompt import INSTRUCTIONS, BlockPieces
from rerankers.attention.weigh import Scores, fused, weighed
from rerankers.attention.work import Work
from rerankers.icr import ICRReranker

if TYPE_CHECKING:
    from rerankers.attention.blocks import Asked
    from rerankers.attention.reader import BlockReader
    from rerankers.attention.states import StateStore, StoreReport

logger = logging.getLogger(__name__)

_MB = 1 << 20
_AHEAD = 64
"""Documents read at a time before anybody asks: bounds memory, keeps the model busy."""


class AttentionReranker:
    """Relevance read from a model's attention, documents as independent blocks. Nothing is generated.

    Every document goes through the first layers alone, behind a short opening; the query goes through them behind
    opening and lead. A head's score is the mean over the query's tokens of -log(1 - p), where p is what the token
    would pay to the document if it stood there alone. Scores of a few trusted heads are standardised over the
    candidates and summed. So neither order nor company of the candidates matters, no layer behind the deepest of
    those heads is run, and what was made of a document serves every later query.

    In the family of ICR (Chen et al., ICLR 2025, arXiv 2410.02642), with heads chosen as in QRHead (arXiv 2506.09944)
    and CoRe (arXiv 2510.02219), independent blocks as in BlockRank (arXiv 2510.05396), here without training.

    Args:
        llm: a model in this process, with rotary positions.
        layout: blocks reads every document alone; prompt puts all into one prompt, as `rerank.icr` does, and reads the
            same heads there. Then order and company matter, and max_tokens, span, over, step, margin, budget_ms and
            keep have no say.
        heads: auto takes the head set shipped for these weights, else one published for this model, else all heads.
            Or the path of a head set, or heads as "layer-head" from 0, such as "17-4".
        depth: how many of a ranking's first hits are read; the others follow in their order. None reads all.
        first_stage_weight: share of the first stage's standardised score in the final one; 0 is attention alone.
        max_tokens: of a document, title included.
        max_query_tokens: of a query.
        instruction: what the lead asks for: ie relevant information, qa an answer; none leaves it out.
        span: rows of the query that are read: its words, or lead, words and the end of the turn.
        nulls: queries without content, whose mean score is subtracted; they are asked only if null_strength is not 0.
        null_strength: how much of it; None takes the head set's.
        over: all tokens of a document count, or the best one; None takes the head set's.
        step: candidates read at a time where `margin` or `budget_ms` may end the reading early.
        margin: stop when the k-th best score leads the best of the last step by this many standard deviations.
        budget_ms: stop reading after this time; the unread follow in their order.
        keep: where documents' states stay: memory, disk (under the cache folder, across processes) or nowhere.
        keep_as: number format of kept states.
        keep_mb: most space they take.
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
        null_strength: float | None = None,
        over: Literal["all", "best"] | None = None,
        step: int = 20,
        margin: float | None = None,
        budget_ms: float | None = None,
        keep: Literal["memory", "disk", "nowhere"] = "memory",
        keep_as: Literal["bfloat16", "int8"] = "bfloat16",
        keep_mb: int = 512,
    ) -> None:
        _one_of("instruction", instruction, (*INSTRUCTIONS, "none"))
        _one_of("layout", layout, ("blocks", "prompt"))
        _one_of("span", span, ("words", "suffix"))
        _one_of("keep", keep, ("memory", "disk", "nowhere"))
        _one_of("keep_as", keep_as, ("bfloat16", "int8"))
        if over is not None:
            _one_of("over", over, ("all", "best"))
        numbers = {"depth": depth, "max_query_tokens": max_query_tokens, "step": step, "keep_mb": keep_mb}
        for name, number in numbers.items():
            if number is not None and number < 1:
                raise ValueError(f"rerank.attention: {name} must be at least 1, got {number}")
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
        if not isinstance(heads, str):
            parse_heads(heads)
        self._llm, self._layout, self._heads, self._depth = llm, layout, heads, depth
        self._in_one_prompt: ICRReranker | None = None
        self._late: Literal["ie", "qa"] = "qa" if instruction == "qa" else "ie"
        self._first_stage_weight = first_stage_weight
        self._max_tokens, self._max_query_tokens, self._span = max_tokens, max_query_tokens, span
        self._instruction = INSTRUCTIONS.get(instruction, "")
        self._nulls, self._null_strength, self._over = nulls, null_strength, over
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
        works = [Work.of(ranking, self._depth) for ranking in rankings]
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

        States beyond `keep_mb` push out the oldest. Those of other weights or heads go first; it ends where its own would.

        Raises:
            SpecError: nothing is kept (keep: nowhere), or the layout is one prompt, whose states serve no other.
        """
        from rerankers.attention.capture import attention_switched

        if self._keep == "nowhere" or self._layout == "prompt":
            raise SpecError("rerank.attention reads ahead only with layout: blocks and keep: disk or memory")
        fresh, displaced = 0, self._displaced()
        for first in range(0, len(documents), _AHEAD):
            some = documents[first : first + _AHEAD]
            with self._llm.weights() as lent:
                reader, _ = self._reader(lent)
                with attention_switched(reader.decoder):
                    fresh += reader.read([reader.block(each) for each in some]).fresh
            progress("read", first + len(some), len(documents))
            if self._displaced() > displaced:
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

    def explain(self, query: str, document: Document) -> list[TokenScore]:
        """What made a document's score: every token of its text that was read, in order, with its part of the match.

        Parts are weighted over heads, and less those of the null query where there is one. With those of the title they
        add up to the document's match before it is standardised; a token can take away as well as add.
        """
        from rerankers.attention.capture import attention_switched

        with self._llm.weights() as lent:
            reader, heads = self._reader(lent)
            with attention_switched(reader.decoder):
                (asked,) = reader.ask([reader.query(query)[0]])
                nulls = self._ask_nulls(reader, heads)
                (keys,) = reader.read([reader.block(document)]).keys
        over = self._over or heads.over
        by_head = reader.match_tokens(asked, keys, over=over).double()
        for null, strength in nulls:
            by_head -= strength * reader.match_tokens(null, keys, over=over).double()
        parts = np.array([heads.weight(*name) for name in reader.plan.names]) @ by_head.numpy()
        placed = zip(reader.spans(document), parts.tolist(), strict=True)
        return [TokenScore(start=start, end=end, score=part) for (start, end), part in placed if end > start]

    def _read(self, works: Sequence[Work], lent: Weights, k: int) -> None:
        from rerankers.attention.capture import attention_switched

        reader, heads = self._reader(lent)
        with attention_switched(reader.decoder):
            nulls = self._ask_nulls(reader, heads)
            for work in works:
                started = perf_counter()
                ids, work.cut_query = reader.query(work.ranking.query.text)
                (asked,) = reader.ask([ids])
                work.usage += Usage(calls=1, prompt_tokens=len(ids))
                self._score(work, reader, heads, asked, nulls, k)
                work.usage += Usage(seconds=perf_counter() - started)

    def _strength(self, heads: HeadSet) -> float:
        return heads.null_strength if self._null_strength is None else self._null_strength

    def _ask_nulls(self, reader: BlockReader, heads: HeadSet) -> list[tuple[Asked, float]]:
        """The queries without content and how much of each is subtracted; none where nothing is."""
        strength = self._strength(heads)
        nulls = reader.ask([reader.query(text)[0] for text in self._nulls]) if strength else []
        return [(null, strength / len(nulls)) for null in nulls]

    def _one_prompt(self) -> ICRReranker:
        if self._in_one_prompt is None:
            from rerankers.attention.identity import name_of, weight_hash

            with self._llm.weights() as lent:
                config = lent.model.get_decoder().config
                heads = self._head_set(config, name_of(lent.model), weight_hash(lent.model))
            self._in_one_prompt = reader_of_one_prompt(
                self._llm,
                heads,
                null=self._nulls[0] if self._nulls else "N/A",
                strength=self._strength(heads),
                instruction=self._late,
            )
        return self._in_one_prompt

    def _score(
        self,
        work: Work,
        reader: BlockReader,
        heads: HeadSet,
        asked: Asked,
        nulls: Sequence[tuple[Asked, float]],
        k: int,
    ) -> None:
        """Read the candidates, all at once or step by step, and give `work` their scores."""
        started = perf_counter()
        weights = np.array([heads.weight(*name) for name in reader.plan.names])
        stepwise = self._margin is not None or self._budget is not None
        step = self._step if stepwise else len(work.head)
        by_head = np.empty((len(weights), 0))
        for first in range(0, len(work.head), step):
            hits = work.head[first : first + step]
            read = reader.read([reader.block(hit.document) for hit in hits])
            work.usage += Usage(calls=1, prompt_tokens=read.encoded + read.found, cached_tokens=read.found)
            found = reader.match(asked, read.keys, over=self._over or heads.over).double()
            for null, strength in nulls:
                found -= strength * reader.match(null, read.keys, over=self._over or heads.over).double()
            if not bool(found.isfinite().all()):
                layer, head = reader.plan.names[int((~found.isfinite()).any(1).nonzero()[0])]
                work.trouble = f"attention of layer {layer}, head {head} is not finite"
                return
            by_head = np.concatenate((by_head, found.numpy()), 1)
            work.scores = self._final(work, by_head, weights)
            if self._enough(work.scores, len(hits), k):
                break
            if self._budget is not None and (perf_counter() - started) * 1000 >= self._budget:
                work.out_of_time = len(work.scores) < len(work.head)
                break

    def _final(self, work: Work, by_head: Scores, weights: Scores) -> Scores:
        before = np.array([hit.score for hit in work.head[: by_head.shape[1]]], dtype=np.float64)
        return fused(weighed(by_head, weights), before, weight=self._first_stage_weight)

    def _enough(self, scores: Scores, last: int, k: int) -> bool:
        """Whether the last step's best is so far behind the k-th best that reading on will not change the top."""
        if self._margin is None or len(scores) <= k or len(scores) == last:
            return False
        kth, best_of_last = np.sort(scores)[-k], scores[-last:].max()
        return bool(kth - best_of_last >= self._margin * scores.std())

    def _reader(self, lent: Weights) -> tuple[BlockReader, HeadSet]:
        """A reader of the lent decoder; made at first use, and again should another decoder be lent."""
        from rerankers.attention.reader import BlockReader

        decoder = lent.model.get_decoder()
        if self._made is not None and self._made[0].decoder is decoder:
            return self._made
        from rerankers.attention.identity import name_of, weight_hash

        pieces = BlockPieces.of(lent.tokenizer, instruction=self._instruction)
        heads = self._head_set(decoder.config, name_of(lent.model), weight_hash(lent.model))
        room = len(pieces.opening) + self._max_tokens + len(pieces.lead) + self._max_query_tokens + len(pieces.end)
        plan = make_plan(decoder.config, context=room, heads=heads.by_layer)
        reader = BlockReader(
            decoder,
            lent.tokenizer,
            pieces=pieces,
            plan=plan,
            max_tokens=self._max_tokens,
            max_query_tokens=self._max_query_tokens,
            span=self._span,
            store=None if self._keep == "nowhere" else self._store(lent.model, pieces, plan),
        )
        self._made = (reader, heads)
        return self._made

    def _store(self, model: Any, pieces: BlockPieces, plan: Plan) -> StateStore:
        """Where documents' keys are kept: the identity is all that they depend on, beside their own ids."""
        from rerankers.attention.identity import weight_hash
        from rerankers.attention.reader import key_heads
        from rerankers.attention.states import StateStore

        config = model.get_decoder().config
        pairs = plan.pairs(int(config.num_attention_heads) // key_heads(config))
        identity = {
            "weights": weight_hash(model),
            "dtype": str(model.dtype),
            "device": model.device.type,
            "opening": list(pieces.opening),
            "pairs": [list(pair) for pair in pairs],
            "windows": {str(layer): window for layer, window in plan.windows.items()},
        }
        return StateStore(
            home() / "states" if self._keep == "disk" else None,
            identity=identity,
            n_pairs=len(pairs),
            head_size=int(getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads),
            kind=self._keep_as,
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

    def _displaced(self) -> int:
        store = None if self._made is None else self._made[0].store
        return 0 if store is None else store.displaced

    def _head_set(self, config: Any, name: str, weights: str) -> HeadSet:
        size = {"layers": int(config.num_hidden_layers), "heads_per_layer": int(config.num_attention_heads)}
        if not isinstance(self._heads, str):
            named = dict.fromkeys(self._heads, 1.0)
            return HeadSet(model=name, **size, weights=named, method="given")
        if self._heads != "auto":
            heads = read_head_set(Path(self._heads))
            check_head_set(heads, config, weight_hash=weights, layout=self._layout)
            return heads
        found = find_head_set(config, name=name, weight_hash=weights, layout=self._layout)
        if found is not None:
            return found
        logger.warning(
            "rerank.attention: no head set is known for %s (weights %s), so all heads are read, which ranks badly; "
            "`rag heads find` finds the good ones from your own corpus",
            name,
            weights[:12],
        )
        plan = make_plan(config, context=self._max_tokens + self._max_query_tokens)
        everything = {f"{layer}-{head}": 1.0 for layer, head in plan.names}
        return HeadSet(model=name, **size, weights=everything, method="all heads", null_strength=1.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenScore:
    """A token's part in a document's score. `start` and `end` are characters of the document's text."""

    start: int
    end: int
    score: float


def _one_of(name: str, value: str, allowed: Sequence[str]) -> None:
    if value not in allowed:
        raise ValueError(f"rerank.attention: {name} must be one of {', '.join(allowed)}, got {value!r}")


def _warn(works: Sequence[Work]) -> None:
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
