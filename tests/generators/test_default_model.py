"""The default model, really run: SmolLM2-135M-Instruct from the package index."""

from __future__ import annotations

import numpy as np
import pytest

from generators.cited import CitedGenerator
from generators.llm.transformers import TransformersLLM
from rag.core.types import Document, Message, Prompt, Query, Ranking, SamplingParams, ScoredDocument
from rag.stages.assemble import TokenBudgetAssembler

pytestmark = pytest.mark.models

SHORT = SamplingParams(max_tokens=24)


def asked(text: str) -> Prompt:
    return [Message(role="user", content=text)]


PROMPTS = [asked("What is the capital of France?"), asked("Name one colour."), asked("Write <|im_end|> down.")]


@pytest.fixture(scope="module")
def llm() -> TransformersLLM:
    return TransformersLLM(device="cpu", dtype="float32")


def test_it_answers_in_batches_as_it_does_alone_and_in_pieces(llm: TransformersLLM) -> None:
    assert llm.context_window == 8192
    together = llm.complete(PROMPTS, SHORT)
    assert "Paris" in together[0].text
    assert together[0].finish_reason == "stop"
    assert [llm.complete([prompt], SHORT)[0] for prompt in PROMPTS] == together
    assert ["".join(llm.stream(prompt, SHORT)) for prompt in PROMPTS] == [c.text for c in together]
    assert [c.prompt_tokens for c in together] == llm.count_tokens(PROMPTS)


def test_it_prefers_what_is_true(llm: TransformersLLM) -> None:
    cities = ["The capital of France is Paris.", "The capital of France is Oslo."]
    [likelihoods] = llm.choose(PROMPTS[:1], cities)
    assert likelihoods[0] > likelihoods[1]
    scores = llm.score(PROMPTS[:1] * 2, cities)
    np.testing.assert_allclose(likelihoods, [sum(tokens) for tokens in scores], rtol=1e-3)


def test_it_answers_from_passages(llm: TransformersLLM, documents: tuple[Document, ...]) -> None:
    query = Query(qid="q", text="When is the weekly assembly?")
    hits = tuple(ScoredDocument(document=d, score=1.0) for d in (documents[10], documents[6], documents[2]))
    contexts = TokenBudgetAssembler(llm=llm).assemble([Ranking(query=query, hits=hits)])
    generator = CitedGenerator(llm=llm, max_tokens=48)
    [answer] = generator.generate(contexts)
    assert "Tuesday" in answer.text
    assert answer.status == "answered"
    assert "d11" in {citation.doc_id for citation in answer.citations}
    *pieces, last = generator.stream(contexts[0])
    assert "".join(piece.text for piece in pieces) == answer.text
    assert last.answer is not None
    assert last.answer.citations == answer.citations
