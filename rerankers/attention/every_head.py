"""What every head of a model pays to documents, in either layout: for whoever chooses among heads."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

import numpy as np
from numpy.typing import NDArray

from rag.core.errors import SpecError
from rag.core.llm_protocols import Weights
from rag.core.progress import Progress, silent
from rag.core.types import Document
from rerankers.attention.heads.head_sets import HeadSet, Layout
from rerankers.attention.heads.layout import Plan, make_plan
from rerankers.attention.reading.prompt import INSTRUCTIONS, BlockPieces, Pieces
from rerankers.attention.reading.weigh import Scores

if TYPE_CHECKING:
    from torch import Tensor

    from rerankers.attention.reading.score import Span

NULL = "N/A"
"""A query without content."""
_MAX_QUERY_TOKENS = 256
_MAX_WORDS = 300
"""Words of a candidate that are read in one prompt: `rerank.icr`'s default."""
_PIECES: dict[Layout, type[BlockPieces] | type[Pieces]] = {"blocks": BlockPieces, "prompt": Pieces}

Asked = Sequence[tuple[str, Sequence[Document]]]
"""Queries, each with its candidates."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EveryHead:
    """Every head of a model's first layers that can be read, and what it pays to the candidates of queries.

    names: (layer, head), both from 0, in the order of the scores.
    skipped: layers that do not attend to the whole prompt, so that none of their heads is read.
    paid: of each query, for it and for one without content, float64 [2, n_heads, n_documents].
    """

    names: tuple[tuple[int, int], ...]
    skipped: tuple[int, ...]
    paid: tuple[NDArray[np.float64], ...]

    @classmethod
    def in_blocks(
        cls, lent: Weights, asked: Asked, *, last_layer: int, max_tokens: int, progress: Progress = silent
    ) -> Self:
        """Every document is read alone, as `rerank.attention` does. `max_tokens`: of a document.

        Raises:
            SpecError: no layer can be read.
        """
        from rerankers.attention.reading.capture import attention_switched
        from rerankers.attention.reading.reader import BlockReader

        decoder, tokenizer = lent.model.get_decoder(), lent.tokenizer
        pieces = BlockPieces.of(tokenizer, instruction=INSTRUCTIONS["ie"])
        context = pieces.length(max_tokens=max_tokens, max_query_tokens=_MAX_QUERY_TOKENS)
        plan = make_plan(decoder.config, context=context, layers=(0, last_layer))
        reader = BlockReader(
            decoder, tokenizer, pieces=pieces, plan=plan, max_tokens=max_tokens, max_query_tokens=_MAX_QUERY_TOKENS
        )
        paid = list[NDArray[np.float64]]()
        with attention_switched(decoder):
            null = reader.null(NULL)
            for number, (query, candidates) in enumerate(asked, start=1):
                (view,) = reader.ask([reader.query(query)[0]])
                keys = reader.read([reader.block(each)[0] for each in candidates]).keys
                paid.append(np.stack([reader.match(each, keys, over="all").double().numpy() for each in (view, null)]))
                progress("read", number, len(asked))
        return cls(names=plan.names, skipped=plan.skipped, paid=tuple(paid))

    @classmethod
    def in_one_prompt(
        cls, lent: Weights, asked: Asked, *, last_layer: int, context: int, progress: Progress = silent
    ) -> Self:
        """All documents stand in one prompt, as `rerank.icr` lays them out; attention is summed, none filtered.

        `context`: the model's window.

        Raises:
            SpecError: a query's candidates do not fit into one prompt, or no layer can be read.
        """
        from rerankers.attention.icr.listing import Listing
        from rerankers.attention.reading.capture import attention_switched, encode_prefix, read_suffixes

        decoder, tokenizer = lent.model.get_decoder(), lent.tokenizer
        pieces = Pieces.of(tokenizer, instruction=INSTRUCTIONS["ie"])
        plan = make_plan(decoder.config, context=context, layers=(0, last_layer))
        paid = list[NDArray[np.float64]]()
        with attention_switched(decoder):
            for number, (query, candidates) in enumerate(asked, start=1):
                suffixes = [pieces.suffix(tokenizer, text) for text in (query, NULL)]
                room = context - max(map(len, suffixes))
                listing = Listing(pieces, tokenizer, candidates, room=room, max_words=_MAX_WORDS, backwards=True)
                if listing.fits < len(candidates):
                    raise SpecError(
                        f"{listing.fits} of {len(candidates)} candidates fit into one prompt of {context} tokens; look for "
                        "heads with fewer of them"
                    )
                prefix, spans = listing.prefix(range(len(candidates)))
                sums = _HeadSums(plan, spans)
                read_suffixes(decoder, encode_prefix(decoder, prefix, plan=plan), suffixes, plan=plan, collector=sums)
                paid.append(sums.result())
                progress("read", number, len(asked))
        return cls(names=plan.names, skipped=plan.skipped, paid=tuple(paid))

    def head_set(
        self,
        lent: Weights,
        weights: Scores,
        *,
        prior: Scores | None,
        layout: Layout,
        model: str,
        null_strength: float,
        method: str,
        found_on: str,
    ) -> HeadSet:
        """The head set that gives heads these weights, of this model alone: weights above 0, of four digits.

        Args:
            weights, prior: float64 [n_heads] of the first heads; without a prior, matches are standardised.
            layout, model, null_strength, method, found_on: see `HeadSet`.
        """
        from rerankers.attention.heads.identity import weight_hash

        config = lent.model.get_decoder().config
        return HeadSet(
            model=model,
            weight_hash=weight_hash(lent.model),
            template_hash=_PIECES[layout].of(lent.tokenizer, instruction=INSTRUCTIONS["ie"]).sha256,
            layers=int(config.num_hidden_layers),
            heads_per_layer=int(config.num_attention_heads),
            layout=layout,
            form="standardised" if prior is None else "absolute",
            null_strength=null_strength,
            weights=self._named(weights),
            prior={} if prior is None else self._named(prior),
            method=method,
            found_on=found_on,
        )

    def _named(self, weights: Scores) -> dict[str, float]:
        """Head name -> weight, rounded to four significant digits; only weights above 0."""
        named = zip(self.names, weights.tolist(), strict=False)
        return {f"{layer}-{head}": float(f"{weight:.4g}") for (layer, head), weight in named if weight > 0}


class _HeadSums:
    """Adds up what each planned head pays to each document."""

    def __init__(self, plan: Plan, spans: Sequence[Span]) -> None:
        self._plan, self._spans = plan, spans
        self._sums: list[Tensor] = []

    def add(self, layer: int, columns: Tensor) -> None:
        import torch

        chosen = columns[:, list(self._plan.heads[layer])].double()
        self._sums.append(torch.stack([chosen[..., start:end].sum(-1) for start, end in self._spans], -1).cpu())

    def result(self) -> NDArray[np.float64]:
        """float64 [n_suffixes, n_heads, n_documents], heads in the plan's order."""
        import torch

        sums: NDArray[np.float64] = torch.cat(self._sums, 1).numpy()
        return sums
