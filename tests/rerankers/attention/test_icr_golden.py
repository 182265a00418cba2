"""`rerank.icr` beside a second, plain reading of the paper (Chen et al., ICLR 2025, arXiv 2410.02642, section 3).

The second one keeps nothing between passes: each prompt is put together anew and goes whole through transformers' eager
attention, once for the query and once for the query without content. It shares no line with the first.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from rag.core.ranking import in_this_order
from rag.core.types import Document, Query, Ranking
from rerankers.attention.icr import reranker as first
from rerankers.attention.icr.reranker import ICRReranker
from tests.rag.tiny_tokenizers import tiny_tokenizer
from tests.rerankers.tiny_models import TinyLLM, tiny_model

ASKS = {
    "qa": "Answer the question below with the help of the paragraphs above.",
    "ie": "Locate the information in the paragraphs above that is relevant to the query below.",
}
DOCUMENTS = [
    Document(
        doc_id="d0", title="Paris", text="Paris is the capital of France, on the Seine, and has two million people."
    ),
    Document(
        doc_id="d1", text="Goggles are worn at the grinder; whoever has none asks at the desk for a pair of them."
    ),
    Document(doc_id="d2", title="Leave of absence", text="Everyone has thirty days of leave. " * 6),
    Document(doc_id="d3", text="x"),
    Document(doc_id="d4", title="A 3 of 4", text="Numbers 1 2 3 4 5 6 7 8 9 0, dots ... and\nlines\n\nof text."),
    Document(doc_id="d5", text="Die Hauptstadt von Frankreich heißt Paris. 巴黎是法国的首都。"),
    Document(doc_id="d6", text="a " * 310),
]
QUESTION = "Which city is the capital of France?"


@dataclass
class Plain:
    """ICR by its description alone, for a tokenizer of the ChatML layout."""

    model: Any
    asks: str
    null: str = "N/A"

    def __post_init__(self) -> None:
        self.tokenizer = tiny_tokenizer("chatml")

    def ids(self, text: str) -> list[int]:
        found: list[int] = self.tokenizer.encode(text, add_special_tokens=False)
        return found

    def prompt(self, documents: Sequence[Document], query: str) -> tuple[list[int], int, list[range]]:
        """All ids, where the rows that are read begin, and the places of each document; documents as they stand in it."""
        ids = self.ids("<|im_start|>user\n") + self.ids("These are numbered paragraphs.")
        places = []
        for number, document in enumerate(documents, start=1):
            ids += self.ids("\n\n")
            head = f"{document.title}\n" if document.title else ""
            words = document.text.split(" ")
            piece = self.ids(f"[{number}] {head}{' '.join(words[:300])}".rstrip())
            places.append(range(len(ids), len(ids) + len(piece)))
            ids += piece
        ids += self.ids("\n\n")
        begin = len(ids)
        ids += self.ids(self.asks) + self.ids("\n\n") + self.ids(f"Query: {query}")
        return ids + self.ids("<|im_end|>\n<|im_start|>assistant\n"), begin, places

    def tokens(self, documents: Sequence[Document], query: str) -> tuple[NDArray[np.float64], list[range]]:
        """s(j|query): summed over layers and heads, averaged over the rows from the instruction on."""
        ids, begin, places = self.prompt(documents, query)
        with torch.inference_mode():
            layers = self.model(input_ids=torch.tensor([ids]), output_attentions=True).attentions
        total = sum(layer[0, :, begin:, :begin].double().mean(dim=1).sum(dim=0) for layer in layers)
        return np.asarray(total), places

    def calibrated(self, documents: Sequence[Document]) -> tuple[NDArray[np.float64], list[range]]:
        real, places = self.tokens(documents, QUESTION)
        return real - self.tokens(documents, self.null)[0], places

    def scores(self, best_first: Sequence[Document]) -> tuple[list[float], int]:
        """A score for each, and how many tokens the filter took out. The best of the first stage stands last."""
        tokens, places = self.calibrated(list(reversed(best_first)))
        scores, out = [], 0
        for place in places:
            own = tokens[place.start : place.stop]
            kept = own if len(own) < 2 else own[own > own.mean() - 2 * own.std(ddof=1)]
            out += len(own) - len(kept)
            scores.append(float(kept.sum()))
        return scores[::-1], out

    def windows(self, documents: Sequence[Document], *, window: int, stride: int) -> list[str]:
        """From the tail on: of each window the lowest stay behind for good, the others go into the one in front of it."""
        tail: list[Document] = []
        front, held = list(documents[:-window]), list(documents[-window:])
        while True:
            values, _ = self.scores(held)
            held = [each for _, each in sorted(zip(values, held, strict=True), key=lambda pair: -pair[0])]
            if not front:
                return [each.doc_id for each in held + tail]
            held, tail = held[:-stride], held[-stride:] + tail
            held, front = front[-stride:] + held, front[:-stride]


@pytest.fixture(params=["llama", "qwen3", "mistral"])
def models(request: pytest.FixtureRequest) -> tuple[TinyLLM, Any]:
    """The same weights for both: two layers, half as many heads of keys as of queries."""
    made = [tiny_model(request.param, num_hidden_layers=2, seed=3, attention=how) for how in ("sdpa", "eager")]
    for model in made:
        torch.manual_seed(11)
        for name, weights in model.named_parameters():
            if "q_proj" in name or "k_proj" in name:  # else attention is flat, and any mistake in it invisible
                weights.data.normal_(0, 0.6)
            elif "q_norm" in name or "k_norm" in name:  # Qwen3 takes the length of queries and keys out
                weights.data.mul_(3)
    return TinyLLM(made[0]), made[1]


def ranking(documents: Sequence[Document]) -> Ranking:
    return Ranking(query=Query(qid="q", text=QUESTION), hits=in_this_order(documents))


@pytest.mark.parametrize("instruction", ["qa", "ie"])
def test_scores_of_tokens_and_documents_are_the_papers(
    models: tuple[TinyLLM, Any], instruction: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    llm, eager = models
    plain = Plain(eager, ASKS[instruction])
    seen: list[tuple[NDArray[np.float64], list[tuple[int, int]]]] = []
    pooled = first.document_scores

    def noted(tokens: NDArray[np.float64], spans: list[tuple[int, int]], **how: Any) -> NDArray[np.float64]:
        seen.append((tokens, spans))
        return pooled(tokens, spans, **how)

    monkeypatch.setattr(first, "document_scores", noted)
    (found,) = ICRReranker(llm=llm, instruction=instruction).rerank([ranking(DOCUMENTS)], k=len(DOCUMENTS))
    [(tokens, spans)] = seen

    expected, places = plain.calibrated(list(reversed(DOCUMENTS)))
    assert [(place.start, place.stop) for place in reversed(places)] == spans
    assert tokens[: len(expected)] == pytest.approx(expected, abs=1e-5)
    assert np.abs(expected).max() > 1e-3, "scores that are all nearly 0 would show nothing"

    scores, left_out = plain.scores(DOCUMENTS)
    assert left_out > 0, "a filter that keeps every token would show nothing"
    assert {hit.doc_id: hit.score for hit in found.hits} == pytest.approx(
        {document.doc_id: score for document, score in zip(DOCUMENTS, scores, strict=True)}, abs=1e-5
    )


def test_the_query_without_content_is_what_is_taken_off(models: tuple[TinyLLM, Any]) -> None:
    llm, eager = models
    (found,) = ICRReranker(llm=llm, null="nothing at all").rerank([ranking(DOCUMENTS)], k=len(DOCUMENTS))
    scores, _ = Plain(eager, ASKS["ie"], null="nothing at all").scores(DOCUMENTS)
    others, _ = Plain(eager, ASKS["ie"]).scores(DOCUMENTS)
    assert [found.hits[found.doc_ids.index(each.doc_id)].score for each in DOCUMENTS] == pytest.approx(scores, abs=1e-5)
    assert max(abs(a - b) for a, b in zip(scores, others, strict=True)) > 1e-4


@pytest.mark.parametrize(("window", "stride"), [(4, 2), (3, 2), (5, 1)])
def test_windows_carry_the_best_to_the_front(models: tuple[TinyLLM, Any], window: int, stride: int) -> None:
    llm, eager = models
    (found,) = ICRReranker(llm=llm, window=window, stride=stride).rerank([ranking(DOCUMENTS)], k=len(DOCUMENTS))
    assert list(found.doc_ids) == Plain(eager, ASKS["ie"]).windows(DOCUMENTS, window=window, stride=stride)
