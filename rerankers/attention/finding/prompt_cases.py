"""Scores of every head for cases whose candidates all stand in one prompt, as `rerank.icr` lays them out."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from rag.core.errors import SpecError
from rag.core.llm_protocols import Weights
from rag.core.progress import Progress, silent
from rerankers.attention.finding.case_scores import NULL, CaseScores
from rerankers.attention.finding.pseudo import Case
from rerankers.attention.heads.layout import Plan, make_plan
from rerankers.attention.icr.listing import Listing
from rerankers.attention.reading.capture import attention_switched, encode_prefix, read_suffixes
from rerankers.attention.reading.prompt import INSTRUCTIONS, Pieces
from rerankers.attention.reading.score import Span

_MAX_WORDS = 300
"""Words of a candidate that are read: `rerank.icr`'s default."""


class _HeadSums:
    """Adds up what each planned head pays to each document."""

    def __init__(self, plan: Plan, spans: Sequence[Span]) -> None:
        self._plan, self._spans = plan, spans
        self._sums: list[Tensor] = []

    def add(self, layer: int, columns: Tensor) -> None:
        chosen = columns[:, list(self._plan.heads[layer])].double()
        self._sums.append(torch.stack([chosen[..., start:end].sum(-1) for start, end in self._spans], -1).cpu())

    def result(self) -> np.ndarray[tuple[int, ...], np.dtype[np.float64]]:
        """float64 [n_suffixes, n_heads, n_documents], heads in the plan's order."""
        return torch.cat(self._sums, 1).numpy()


def score_cases_in_one_prompt(
    lent: Weights, cases: Sequence[Case], *, context: int, last_layer: int, progress: Progress = silent
) -> tuple[Plan, list[CaseScores]]:
    """Every readable head up to `last_layer` on every case: attention summed over a document's tokens, none filtered.

    `context`: the model's window.

    Raises:
        SpecError: a case's candidates do not fit into one prompt, or no layer can be read.
    """
    decoder, tokenizer = lent.model.get_decoder(), lent.tokenizer
    pieces = Pieces.of(tokenizer, instruction=INSTRUCTIONS["ie"])
    plan = make_plan(decoder.config, context=context, layers=(0, last_layer))
    scores = list[CaseScores]()
    with attention_switched(decoder):
        for number, case in enumerate(cases, start=1):
            suffixes = [pieces.suffix(tokenizer, text) for text in (case.query, NULL)]
            room = context - max(map(len, suffixes))
            listing = Listing(pieces, tokenizer, case.candidates, room=room, max_words=_MAX_WORDS, backwards=True)
            if listing.fits < len(case.candidates):
                raise SpecError(
                    f"{listing.fits} of {len(case.candidates)} candidates fit into one prompt of {context} tokens; look for "
                    "heads with fewer of them"
                )
            prefix, spans = listing.prefix(range(len(case.candidates)))
            sums = _HeadSums(plan, spans)
            read_suffixes(decoder, encode_prefix(decoder, prefix, plan=plan), suffixes, plan=plan, collector=sums)
            real, null = sums.result()
            scores.append(CaseScores(real=real, null=null, grades=np.array(case.grades)))
            progress("read", number, len(cases))
    return plan, scores
