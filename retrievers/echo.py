"""Echo embeddings: a text twice in one prompt (Springer et al., 2024, arXiv 2402.15449).

A token of a language model sees what stands before it alone. In the second copy every token has seen the whole text.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from rag.core.errors import SpecError

if TYPE_CHECKING:
    from retrievers.text_tokens import TextTokens

BEFORE, BETWEEN = "Rewrite the following paragraph:", "\nThe rewritten paragraph:"
"""What stands before the first copy and before the second. The words decide vectors, so an index keeps them."""


def echoed(tokens: TextTokens, texts: Sequence[str], *, prompt: str) -> tuple[list[list[int]], list[int]]:
    """Token ids of each text with its echo, and how many of them come before the second copy.

    The prompt stands first and once. Both copies are the same tokens, cut alike, so that the second is never the shorter
    one. Nothing follows it: a closing token would be pooled with it. A text without a token gets none at all.

    Raises:
        SpecError: prompt and words fill the model's length.
    """
    first = tokens.opening_ids() + tokens.pieces([prompt])[0]
    before, between = tokens.pieces([BEFORE, BETWEEN])
    fixed = len(first) + len(before) + len(between)
    room = (tokens.max_length - fixed) // 2
    if room < 1:
        raise SpecError(
            f"index.dense.encoding: of {tokens.max_length} tokens an echo needs {fixed} for its words and the prompt, which"
            " leaves none for two copies of a text. Raise max_tokens, shorten the prompt, or leave echo out."
        )
    ids, skipped = list[list[int]](), list[int]()
    for copy in tokens.pieces([f" {text}" if text else "" for text in texts], most=room):
        lead = [*first, *before, *copy, *between] if copy else []
        ids.append([*lead, *copy])
        skipped.append(len(lead))
    return ids, skipped
