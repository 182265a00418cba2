"""GenQR with documents of a first retrieval in front of every instruction."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from rag.types import Prompt, Query, Ranking
from rag.writing import first_words, in_one_line, takes
from ragline_recipes.reformulate.feedback import Feedback, FeedbackSource, Learning, paid
from ragline_recipes.reformulate.genqr import Asking, GenQR


@dataclass(frozen=True, kw_only=True)
class FeedbackOptions(Asking, Learning):
    """Keywords from the query and its documents.

    Args:
        llm: the model that writes, and judges where the source is `critic`.
        index: the index whose analyzer makes the terms, and that holds the judged documents.
        prompt: name or path of a prompt with the variables context, instruction and query.
    """

    prompt: str = "genqr_feedback"


class GenQRWithFeedback(GenQR):
    """GenQR that learns from documents. A query without any stays as it was, outcome `fallback`."""

    variables = ("context", "instruction", "query")

    @takes(FeedbackOptions)
    def __init__(self, options: FeedbackOptions) -> None:
        self._set_up(options, options)
        self._max_words = options.max_words
        self._feedback = FeedbackSource(options, by=self.by)

    def reformulate(  # type: ignore[override]  # one port more: a stage's ports are its method's parameters
        self, queries: Sequence[Query], feedback: Sequence[Ranking]
    ) -> list[Query]:
        """As without feedback; `feedback`: what a first retrieval found for each query."""
        chosen = self._feedback.choose(queries, feedback)
        families = self.families(queries, self._rendered(queries, chosen))
        return [
            query
            for family, record in zip(families, chosen, strict=True)
            for query in (paid(family[0], record), *family[1:])
        ]

    def _rendered(self, queries: Sequence[Query], feedback: Sequence[Feedback]) -> list[list[Prompt]]:
        """One prompt per instruction, behind the documents; none for a query without documents."""
        rendered: list[list[Prompt]] = []
        for query, record in zip(queries, feedback, strict=True):
            texts = [in_one_line(first_words(document.full_text, self._max_words)) for document in record.documents]
            context = " ".join(texts)
            instructions = self.instructions if context else ()
            rendered.append(
                [self.prompt.render(context=context, instruction=text, query=query.text) for text in instructions]
            )
        return rendered
