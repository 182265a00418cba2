from __future__ import annotations

import math
from pathlib import Path

import pytest

from generators.answering import likelihood_of
from generators.cited import CitedGenerator
from generators.llm.transformers import TransformersLLM
from rag.core.types import Completion, Context, Document, Query, ScoredDocument
from tests.generators.llm.conftest import save_random_model


def test_of_the_likeliest_and_the_written_token_the_written_one_counts() -> None:
    places = ({"Paris": -0.1}, {"is": -0.2, "was": -2.0}, {})
    assert likelihood_of(Completion(text="Paris was", logprobs=places)) == pytest.approx((-0.1 - 2.0) / 2)
    assert likelihood_of(Completion(text="Paris was")) is None
    assert likelihood_of(Completion(text="", logprobs=())) is None


def test_an_answer_says_how_likely_its_model_found_it_streamed_and_whole(tmp_path: Path) -> None:
    llm = TransformersLLM(model=str(save_random_model(tmp_path)), device="cpu", dtype="float32")
    passage = ScoredDocument(document=Document(doc_id="d", text="Frames are brazed."), score=1.0)
    context = Context(query=Query(qid="q", text="How?"), passages=(passage,))
    plain = CitedGenerator(llm=llm, max_tokens=6)
    noting = CitedGenerator(llm=llm, max_tokens=6, likelihood=True)
    [without], [whole] = plain.generate([context]), noting.generate([context])
    streamed = list(noting.stream(context))[-1].answer
    assert without.likelihood is None
    assert whole.text == without.text
    assert streamed is not None
    assert whole.likelihood is not None
    assert -math.inf < whole.likelihood < 0
    assert streamed.likelihood == pytest.approx(whole.likelihood, abs=1e-4)
