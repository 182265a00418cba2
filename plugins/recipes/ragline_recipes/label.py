"""One label of a closed list, by what the model finds likeliest after examples that were found for the text."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

import prompts
from rag.protocols import ChoosingLLM
from rag.types import Answer, Context, Outcome, Prompt, ScoredDocument
from rag.writing import Recipe, defused, first_words, in_one_line, require_choosing, require_positive
from ragline_recipes.choosing import chosen, require_several

_NO_EXAMPLES = "There are no examples."


class LabelGenerator:
    """A label for a text, with the most similar labelled texts as examples (RAG4RE: Efeoglu and Paschke, arXiv 2404.13397).

    Passages that have a label in their metadata are examples, the best of them next to the text. The model does not write:
    it says how likely each label is, and the likeliest is the answer, the first of equal ones. So no reply has to be read,
    and none is outside the list. `Answer.likelihood` is the log-probability of the label among those of the list.

    Differs from the paper: labels are scored and not parsed from a text; an example comes with its label.

    Args:
        llm: the model; it must be able to choose from a closed list.
        labels: the list, at least two.
        prompt: name or path of a prompt with the variables labels, examples and text.
        label_field: metadata field of a passage that holds its label; passages without it, or with another, are left out.
        text_field: metadata field that is shown in place of a passage's text, where it has one.
        examples: how many are shown; 0 shows none.
        max_words: words of an example.
    """

    recipe: ClassVar[Recipe] = Recipe(system="RAG4RE", source="Efeoglu and Paschke, arXiv 2404.13397")

    def __init__(
        self,
        *,
        llm: ChoosingLLM,
        labels: list[str],
        prompt: str = "label",
        label_field: str = "label",
        text_field: str | None = None,
        examples: int = 4,
        max_words: int = 80,
    ) -> None:
        require_positive("generate.label", max_words=max_words)
        if examples < 0:
            raise ValueError(f"generate.label: examples must be 0 or more, got {examples}")
        require_several("generate.label", "labels", labels)
        self.llm, self.labels = require_choosing(llm, by="generate.label"), list(labels)
        self.label_field, self.text_field = label_field, text_field
        self.examples, self.max_words = examples, max_words
        self.prompt = prompts.load(prompt)
        self.prompt.require("labels", "examples", "text", by="generate.label")

    def generate(self, contexts: Sequence[Context]) -> list[Answer]:
        """One answer per context, in order: a label, without citations. One call each, all in one batch."""
        return chosen(self.llm, contexts, [self._render(each) for each in contexts], self.labels, self._told)

    def _render(self, context: Context) -> Prompt:
        shown = self._examples(context)
        examples = "\n\n".join(f"Text: {self._text(hit)}\nLabel: {self._label(hit)}" for hit in reversed(shown))
        text = in_one_line(defused(context.query.asked))
        return self.prompt.render(labels="\n".join(self.labels), examples=examples or _NO_EXAMPLES, text=text)

    def _examples(self, context: Context) -> list[ScoredDocument]:
        return [hit for hit in context.passages if self._label(hit) in self.labels][: self.examples]

    def _label(self, hit: ScoredDocument) -> str:
        return str(hit.document.metadata.get(self.label_field, ""))

    def _text(self, hit: ScoredDocument) -> str:
        own = hit.document.metadata.get(self.text_field) if self.text_field else None
        return in_one_line(defused(first_words(str(own or hit.document.text), self.max_words)))

    def _told(self, context: Context, logs: NDArray[np.float64]) -> Answer:
        best = int(np.argmax(logs))
        return Answer(
            query=context.query,
            text=self.labels[best],
            context=context,
            likelihood=float(logs[best]),
            outcome=Outcome(counts={"examples": len(self._examples(context))}),
        )
