"""Verdicts by how near a sentence of an answer is to a sentence of a passage, as an encoder sees them."""

from __future__ import annotations

from collections.abc import Sequence

from rag.indexes import SentenceEncoder
from rag.types import Document, Need
from rag.writing import REFUSAL, Claim, SentenceChecker, Unsupported, Weighed, sentences

THRESHOLDS = {"all-minilm-l6-v2": 0.58, "multilingual-e5-small": 0.835}
"""Least cosine of a sentence that is supported, as `benchmarks.verdicts` chose it for each encoder."""


class EncoderChecker(SentenceChecker):
    """Tells of every sentence whether a passage has one that is near it: the best cosine of their vectors.

    The question goes before the sentence, so that a bare "Thirty days." says what of. Near is not the same: a negation is
    near what it denies. So it never says more than similar.

    Args:
        encoder: a packaged name, a folder, or a hub id of a sentence encoder; it has weights of its own.
        threshold: least cosine, from 0 to 1. None: what `benchmarks.verdicts` chose for the encoder, if it is a packaged one;
            cosines of one encoder say nothing of another's, so any other needs a number.
        unsupported: what becomes of an answer with unsupported sentences. tell leaves it as it is, drop leaves the sentences
            out, refuse refuses the whole.
        refusal: the words of a refusal.
    """

    by = "encoder"

    def __init__(
        self,
        *,
        encoder: str = "all-minilm-l6-v2",
        threshold: float | None = None,
        unsupported: Unsupported = "tell",
        refusal: str = REFUSAL,
    ) -> None:
        if not encoder:
            raise ValueError("check.encoder: encoder must name a packaged model, a folder or a hub id")
        if threshold is None and encoder not in THRESHOLDS:
            raise ValueError(
                f"check.encoder: nobody has measured how near is near for '{encoder}': give a threshold, from 0 to 1. Measured "
                f"are {', '.join(THRESHOLDS)}"
            )
        least = THRESHOLDS[encoder] if threshold is None else threshold
        super().__init__(threshold=least, unsupported=unsupported, refusal=refusal)
        self.encoder = encoder
        self._encoder = SentenceEncoder(model=encoder)  # its weights load at the first text

    @property
    def model_names(self) -> tuple[tuple[str, str | None], ...]:
        """Its encoder."""
        return ((self.encoder, None),)

    def weigh(self, claims: Sequence[Claim]) -> list[Weighed]:
        """The best cosine of each claim to a sentence of each passage. Every text is encoded once."""
        told = [f"{claim.question} {claim.text}".strip() for claim in claims]
        parts = {passage.full_text: _parts(passage) for claim in claims for passage in claim.passages}
        texts = list(dict.fromkeys([*told, *(part for each in parts.values() for part in each)]))
        vectors = self._encoder.encode(texts, role="document")
        row = {text: number for number, text in enumerate(texts)}
        return [
            Weighed(
                support={
                    place: float((vectors[[row[part] for part in parts[passage.full_text]]] @ vectors[row[said]]).max())
                    for place, passage in enumerate(claim.passages)
                }
            )
            for claim, said in zip(claims, told, strict=True)
        ]

    def memory(self) -> list[Need]:
        """Weights and batches of the encoder.

        Raises:
            MissingModel: the model is not here yet.
        """
        return self._encoder.memory()

    def release(self) -> None:
        """Let go of the weights. The next check loads them again."""
        self._encoder.release()


def _parts(passage: Document) -> list[str]:
    """Its sentences, the title before each."""
    text, title = passage.text, f"{passage.title} " if passage.title else ""
    return [f"{title}{text[start:end]}" for start, end in sentences(text)] or [title]
