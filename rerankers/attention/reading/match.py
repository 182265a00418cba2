"""Attention of a query to a document that it meets alone: vectors of the one, keys of the other. Arithmetic only.

For a head and a row t of the query, let w(d) be the summed exponentiated logits over the tokens of document d, and
o the same over all that the row sees without documents (opening, lead, the query so far). A softmax row over both
pays the document p = w / (w + o). The match is the mean over rows of

    -log(1 - p) = log(1 + w / o)

which is p where p is small and grows where a row pays nearly all it has. It knows nothing of other candidates.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional

from rerankers.attention.reading import rows
from rerankers.attention.reading.blocks import QueryVectors

Over = Literal["all", "best"]
_AT_ONCE = 1 << 24
"""Logits alive at once, in numbers: 64 MB of float32."""


def matches(
    query: QueryVectors,
    documents: Sequence[Tensor],
    *,
    pair_of: Sequence[int],
    softcap: float | None = None,
    over: Over = "all",
) -> Tensor:
    """float32 [n_heads, n_documents].

    Args:
        documents: keys [n_pairs, n_tokens, head_size] of each document, at least one token.
        pair_of: the pair whose keys each head reads.
        over: all sums w over a document's tokens, best takes its best token alone.
    """
    n_heads, n_rows, _ = query.vectors.shape
    table = torch.empty(n_heads, len(documents))
    lengths = [keys.shape[1] for keys in documents]
    for part in _parts(lengths, limit=max(1, _AT_ONCE // (n_heads * n_rows))):
        weights = token_logits(query, [documents[i] for i in part], pair_of=pair_of, softcap=softcap)
        own = weights.logsumexp(-1) if over == "all" else weights.amax(-1)
        table[:, list(part)] = functional.softplus(own - query.outside[:, :, None]).mean(1).cpu()
    return table


def token_matches(
    query: QueryVectors,
    documents: Sequence[Tensor],
    *,
    pair_of: Sequence[int],
    softcap: float | None = None,
    over: Over = "all",
) -> list[Tensor]:
    """float32 [n_heads, n_tokens] of each document: its match shared out over its tokens, to which they add up.

    Every row's match is divided in the proportion of the weights its tokens get; with over best it is its best token's.
    """
    n_heads, n_rows, _ = query.vectors.shape
    lengths = [keys.shape[1] for keys in documents]
    tables = list[Tensor]()
    for part in _parts(lengths, limit=max(1, _AT_ONCE // (n_heads * n_rows))):
        logits = token_logits(query, [documents[i] for i in part], pair_of=pair_of, softcap=softcap)
        if over == "best":
            own = logits.amax(-1)
            share = functional.one_hot(logits.argmax(-1), logits.shape[-1]).float()
        else:
            own, share = logits.logsumexp(-1), logits.softmax(-1)
        parts = (functional.softplus(own - query.outside[:, :, None])[..., None] * share).mean(1).cpu()
        tables += [parts[:, place, : lengths[i]] for place, i in enumerate(part)]
    return tables


def token_logits(
    query: QueryVectors, documents: Sequence[Tensor], *, pair_of: Sequence[int], softcap: float | None = None
) -> Tensor:
    """float32 [n_heads, n_rows, n_documents, longest], on the device of `query`; -inf behind the end of a document.

    Keys that were kept lie on the CPU whatever the model runs on, so they are brought to the query's vectors.
    """
    device = query.vectors.device
    longest = max(keys.shape[1] for keys in documents)
    padded = [functional.pad(each, (0, 0, 0, longest - each.shape[1])) for each in documents]
    keys = torch.cat(padded, 1).to(device).float()  # as few bytes as they are kept in go over
    logits = torch.empty(*query.vectors.shape[:2], keys.shape[1], device=device)
    for pair in range(keys.shape[0]):
        heads = [head for head, other in enumerate(pair_of) if other == pair]
        logits[heads] = rows.capped(query.vectors[heads] @ keys[pair].T, softcap)
    logits = logits.view(*logits.shape[:2], len(documents), longest)
    lengths = torch.tensor([each.shape[1] for each in documents], device=device)
    behind = torch.arange(longest, device=device) >= lengths[:, None]
    return logits.masked_fill_(behind, -torch.inf)


def _parts(lengths: Sequence[int], *, limit: int) -> list[range]:
    """Ranges of documents whose padded tokens stay within `limit`; one that is longer goes alone."""
    parts, start, longest = list[range](), 0, 0
    for i, length in enumerate(lengths):
        longest = max(longest, length)
        if i > start and (i + 1 - start) * longest > limit:
            parts.append(range(start, i))
            start, longest = i, length
    return [*parts, range(start, len(lengths))] if lengths else []
