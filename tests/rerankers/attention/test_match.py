from __future__ import annotations

from typing import Any

import pytest
import torch

from rag.core.ranking import in_this_order
from rag.core.types import Document, Query, Ranking
from rerankers.attention.reading.blocks import QueryVectors
from rerankers.attention.reading.match import token_logits
from rerankers.attention.reranker import AttentionReranker
from tests.rerankers.tiny_models import TinyLLM, tiny_model

needs_cuda = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")


def test_logits_lie_where_the_query_does_wherever_the_documents_are() -> None:
    """`meta` is torch's device without numbers: operations on it meet the same rules of place as on CUDA."""
    asked = QueryVectors(vectors=torch.empty(2, 3, 4, device="meta"), outside=torch.empty(2, 3, device="meta"))
    documents = [torch.zeros(1, n, 4, dtype=torch.bfloat16) for n in (5, 2)]
    logits = token_logits(asked, documents, pair_of=[0, 0])
    assert (logits.device.type, logits.dtype, logits.shape) == ("meta", torch.float32, (2, 3, 2, 5))


def test_logits_behind_the_end_of_a_document_are_none() -> None:
    asked = QueryVectors(vectors=torch.ones(1, 1, 2), outside=torch.zeros(1, 1))
    logits = token_logits(asked, [torch.ones(1, 1, 2), torch.full((1, 3, 2), 2.0)], pair_of=[0])
    assert logits[0, 0].tolist() == [[2.0, -torch.inf, -torch.inf], [4.0, 4.0, 4.0]]


@needs_cuda
@pytest.mark.parametrize("keep", ["memory", "nowhere"])
def test_a_model_on_cuda_ranks_and_explains_as_on_the_cpu(keep: Any) -> None:
    documents = [Document(doc_id=f"d{i}", text=text) for i, text in enumerate(("Paris", "a city of France", "3 of 4"))]
    ranking = Ranking(query=Query(qid="q", text="which city"), hits=in_this_order(documents))
    found = []
    for device in ("cpu", "cuda"):
        reranker = AttentionReranker(llm=TinyLLM(tiny_model("llama").to(device)), heads=("0-1", "2-2"), keep=keep)
        for _ in range(2):  # the second time from kept states
            (reranked,) = reranker.rerank([ranking], k=3)
            parts = reranker.explain("which city", documents[1])
            found.append(({hit.doc_id: hit.score for hit in reranked.hits}, [part.score for part in parts]))
    scores, parts_of_one = found[0]
    for other, its_parts in found[1:]:
        assert other == pytest.approx(scores, abs=0.05)
        assert its_parts == pytest.approx(parts_of_one, abs=0.05)
