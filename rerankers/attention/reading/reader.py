"""One model, read in blocks: texts in, head scores out. Documents are encoded once and looked up afterwards."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import islice
from time import perf_counter
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from rag.core.errors import SpecError
from rag.core.types import Document
from rag.models.chat import encode_text, encode_text_spans
from rerankers.attention.heads.identity import head_size, key_heads
from rerankers.attention.heads.layout import Plan
from rerankers.attention.reading.blocks import Before, QueryVectors, encode_before, encode_documents, encode_queries
from rerankers.attention.reading.match import Over, matches, token_matches
from rerankers.attention.reading.prior import Prior
from rerankers.attention.reading.prompt import BlockPieces
from rerankers.attention.reading.weigh import Scores
from rerankers.attention.states.layout import State
from rerankers.attention.states.state_store import StateStore, document_digest

Span = Literal["words", "suffix"]
_CHARACTERS_PER_TOKEN = 32
"""More than any tokenizer's average: what lies behind is cut off anyway, so it is not even encoded."""
_REMEMBERED = 2048
"""Documents whose ids are remembered, no more of each than its block shows: with 128 tokens at most 18 MB of ASCII, or 43
of wider characters."""
_KEYS_BYTES = 256 << 20
"""Keys of documents alive at once, as float32: enough of them to fill a pass with texts of like length."""
_TOGETHER = 32
"""Documents whose priors are computed together: keys of the prior's heads are not needed after that."""
_ASKED_BYTES = 64 << 20
"""What heads see of the queries that are asked together, as float32."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Read:
    """Documents ready to be matched, and what it took: `encoded` tokens went through the model, `reused` were kept.

    `fresh` counts the documents behind the encoded tokens.
    """

    states: list[State]
    encoded: int = 0
    reused: int = 0
    fresh: int = 0

    @property
    def keys(self) -> list[Tensor]:
        """Of each document, [n_pairs, n_tokens, head_size]."""
        return [state.keys for state in self.states]

    @property
    def priors(self) -> Scores:
        """Of each document, float64 [n_documents]; 0 where there is none."""
        return np.array([0.0 if prior is None else float(prior.double().sum()) for _, prior in self.states])


class BlockReader:
    """A decoder, the heads that are read in it, and what all prompts share, computed once.

    Args:
        decoder: a transformers decoder; it must be switched (`capture.attention_switched`) whenever a method is called.
        max_tokens: of a document's block. The lead stands right behind, so it is part of the layout.
        span: which rows of a query are read: its words, or lead, words and the end of the turn.
        null_lead: what stands before a query without content; None is the lead of all others.
        prior: what is taken off documents, if anything is.
        store: where documents' states are kept and looked up; made for a prior where there is one.
    """

    def __init__(
        self,
        decoder: Any,
        tokenizer: Any,
        *,
        pieces: BlockPieces,
        plan: Plan,
        max_tokens: int,
        max_query_tokens: int,
        span: Span = "words",
        null_lead: Sequence[int] | None = None,
        prior: Prior | None = None,
        store: StateStore | None = None,
    ) -> None:
        _require_rotary(decoder.config)
        self.decoder, self.plan, self._prior = decoder, plan, prior
        self._whole = plan if prior is None else plan.joined(prior.plan)
        self._tokenizer, self._pieces, self._max_tokens, self._span = tokenizer, pieces, max_tokens, span
        self._max_query_tokens, self.store = max_query_tokens, store
        self._null_lead = tuple(pieces.lead if null_lead is None else null_lead)
        shared = int(decoder.config.num_attention_heads) // key_heads(decoder.config)
        encoded, kept = self._whole.pairs(shared), plan.pairs(shared)
        self.pair_of = [kept.index((layer, head // shared)) for layer, head in plan.names]
        self._pairs_kept = [encoded.index(pair) for pair in kept]
        prior_names = () if prior is None else prior.plan.names
        self._prior_pair_of = [encoded.index((layer, head // shared)) for layer, head in prior_names]
        self._softcap = getattr(decoder.config, "attn_logit_softcapping", None)
        self._numbers_per_row = len(plan.names) * head_size(decoder.config)
        self._numbers_per_token = len(encoded) * head_size(decoder.config)
        # Where states are kept, to encode the texts again would be half of what a query costs.
        remembered = 0 if store is None else _REMEMBERED
        self._ids_of = lru_cache(remembered)(lambda text: tuple(encode_text(tokenizer, text)[: max_tokens + 1]))
        self._opening: Before | None = None
        self._before: dict[tuple[int, ...], Before] = {}
        self._nulls: dict[tuple[str, tuple[tuple[int, int], ...]], QueryVectors] = {}
        self._encoded = self._reused = 0
        self._encoding_seconds = 0.0

    @property
    def seconds_saved(self) -> float | None:
        """What encoding the reused tokens would have taken, at the speed of those encoded here; None before any were."""
        return self._encoding_seconds / self._encoded * self._reused if self._encoded else None

    @property
    def opening(self) -> Before:
        if self._opening is None:
            self._opening = encode_before(self.decoder, self._pieces.opening, plan=self._whole)
        return self._opening

    def before_queries(self, lead: tuple[int, ...]) -> Before:
        """What a query sees beside itself: opening and lead; the opening alone where the lead is read too."""
        lead = () if self._span == "suffix" else lead
        before = self._before.get(lead)
        if before is None:
            place = self.opening.next_position + self._max_tokens
            before = self.opening.moved_to(place)
            if lead:
                before = encode_before(self.decoder, lead, plan=self._whole, after=self.opening, position=place)
            self._before[lead] = before
        return before

    def block(self, document: Document) -> tuple[list[int], bool]:
        """A document's ids (title, a new line and the text), and whether they had to be cut."""
        text = self._text(document)
        ids = self._ids_of(text.strip())
        block = self._pieces.document(ids, max_tokens=self._max_tokens)
        cut = len(block) < len(ids) + len(self._pieces.separator) or len(text) < len(_whole(document))
        return block, cut

    def spans(self, document: Document) -> list[tuple[int, int]]:
        """For each id of `block`, the characters of the document's text it stands for; (0, 0) where for none."""
        text = self._text(document)
        before = len(document.title) + 1 if document.title else 0
        before -= len(text) - len(text.lstrip())
        _, spans = encode_text_spans(self._tokenizer, text.strip())
        kept = len(self._pieces.document(range(len(spans)), max_tokens=self._max_tokens)) - len(self._pieces.separator)
        own = [(max(start - before, 0), max(end - before, 0)) for start, end in spans[:kept]]
        return [*own, *([(0, 0)] * len(self._pieces.separator))]

    def _text(self, document: Document) -> str:
        return _whole(document)[: self._max_tokens * _CHARACTERS_PER_TOKEN]

    def query(self, text: str) -> tuple[list[int], bool]:
        """A query's ids, and whether they had to be cut."""
        return self._query(text, self._pieces.lead)

    def _query(self, text: str, lead: Sequence[int]) -> tuple[list[int], bool]:
        ids = encode_text(self._tokenizer, text[: self._max_query_tokens * _CHARACTERS_PER_TOKEN].strip())
        words = ids[: self._max_query_tokens] or list(self._pieces.separator)
        cut = len(ids) > self._max_query_tokens or len(text) > self._max_query_tokens * _CHARACTERS_PER_TOKEN
        return ([*lead, *words, *self._pieces.end] if self._span == "suffix" else words), cut

    def ask(self, queries: Sequence[Sequence[int]]) -> list[QueryVectors]:
        """What the heads see of each query. All of it is in memory together: `together` says of how many it may be."""
        return encode_queries(self.decoder, self.before_queries(self._pieces.lead), queries, plan=self.plan)

    def null(self, text: str) -> QueryVectors:
        """What the heads see of a query without content: the same every time, so it is asked once."""
        return self._null(text, self.plan)

    def _null(self, text: str, plan: Plan) -> QueryVectors:
        view = self._nulls.get((text, plan.names))
        if view is None:
            before = self.before_queries(self._null_lead)
            ids, _ = self._query(text, self._null_lead)
            (view,) = encode_queries(self.decoder, before, [ids], plan=plan)
            self._nulls[text, plan.names] = view
        return view

    def together(self, queries: Sequence[Sequence[int]]) -> Iterator[slice]:
        """Parts of `queries` that may be asked together; one that is larger goes alone."""
        start = rows = 0
        for place, ids in enumerate(queries):
            rows += len(ids)
            if place > start and 4 * self._numbers_per_row * rows > _ASKED_BYTES:
                yield slice(start, place)
                start, rows = place, len(ids)
        if queries:
            yield slice(start, len(queries))

    @property
    def at_once(self) -> int:
        """Documents whose keys may be in memory together, at least 1."""
        return max(1, _KEYS_BYTES // (4 * self._numbers_per_token * self._max_tokens))

    def read(self, blocks: Sequence[Sequence[int]]) -> Read:
        """State of each block, encoded unless the store has it; equal blocks are encoded once."""
        digests = [document_digest(block) for block in blocks]
        by_digest = dict(zip(digests, blocks, strict=True))
        states = self._kept(list(by_digest))
        missing = [each for each in by_digest if each not in states]
        texts = [by_digest[each] for each in missing]
        opening, started = self.opening, perf_counter()
        documents = encode_documents(self.decoder, opening, texts, plan=self._whole)
        fresh = dict[bytes, State]()
        while part := list(islice(documents, _TOGETHER)):
            states_of_part = self._states([keys for _, keys in part])
            fresh |= {missing[place]: state for (place, _), state in zip(part, states_of_part, strict=True)}
        self._encoding_seconds += perf_counter() - started
        if self.store is not None:
            # Kept numbers are rounded; a document must count the same when it is met again, and beside any others.
            fresh = dict(zip(fresh, self.store.put(fresh.items()), strict=True))
        states |= fresh
        encoded = sum(map(len, texts))
        spared = sum(map(len, by_digest.values())) - encoded
        self._encoded, self._reused = self._encoded + encoded, self._reused + spared
        return Read(states=[states[each] for each in digests], encoded=encoded, reused=spared, fresh=len(missing))

    def _states(self, keys: Sequence[Tensor]) -> list[State]:
        """From keys of all pairs that are encoded: those that queries meet, and the priors."""
        if self._prior is None or not keys:
            return [State(each) for each in keys]
        weights = torch.tensor([self._prior.weights[name] for name in self._prior.plan.names])
        share = weights / len(self._prior.nulls)
        priors = [torch.zeros(each.shape[1]) for each in keys]
        for text in self._prior.nulls:
            null = self._null(text, self._prior.plan)
            parts = token_matches(null, keys, pair_of=self._prior_pair_of, softcap=self._softcap)
            priors = [prior + share @ part for prior, part in zip(priors, parts, strict=True)]
        return [State(each[self._pairs_kept], prior) for each, prior in zip(keys, priors, strict=True)]

    def _kept(self, digests: Sequence[bytes]) -> dict[bytes, State]:
        if self.store is None:
            return {}
        pairs = zip(digests, self.store.get(digests), strict=True)
        return {each: states for each, states in pairs if states is not None}

    def match_tokens(self, query: QueryVectors, keys: Tensor, *, over: Over) -> Tensor:
        """float32 [n_heads, n_tokens]: one document's match, shared out over its tokens."""
        (table,) = token_matches(query, [keys], pair_of=self.pair_of, softcap=self._softcap, over=over)
        return table

    def match(self, query: QueryVectors, keys: Sequence[Tensor], *, over: Over) -> Tensor:
        """float32 [n_heads, n_documents], heads as in `plan.names`."""
        return matches(query, keys, pair_of=self.pair_of, softcap=self._softcap, over=over)


def _whole(document: Document) -> str:
    return f"{document.title}\n{document.text}" if document.title else document.text


def _require_rotary(config: Any) -> None:
    """Blocks begin at any position, so positions must be relative.

    Raises:
        SpecError: the model counts positions in another way, or some of its layers cut the text into chunks.
    """
    if not (getattr(config, "rope_parameters", None) or getattr(config, "rope_theta", None)):
        raise SpecError(
            f"a {config.model_type} model has no rotary positions, so documents cannot be read as blocks. "
            "Use layout: prompt, or another model."
        )
    if "chunked_attention" in (getattr(config, "layer_types", None) or ()):
        raise SpecError(
            f"some layers of a {config.model_type} model attend in chunks, so documents cannot be read as blocks. "
            "Use layout: prompt, or another model."
        )
