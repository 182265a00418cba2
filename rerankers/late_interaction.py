"""Late interaction reranking: the tokens of query and documents, read now and compared exactly."""

from __future__ import annotations

from collections.abc import Sequence
from time import perf_counter
from typing import get_args

from rag.core.arguments import require_one_of, require_positive
from rag.core.memory import Need
from rag.core.ranking import require_k
from rag.core.types import Ranking, Usage
from rag.models import locate
from rerankers.work import Work
from retrievers.encoders.kinds import Requested
from retrievers.encoders.token_encoder import TokenEncoder
from retrievers.stores.token_vectors import max_sim


class LateInteractionReranker:
    """Late interaction (ColBERT: Khattab and Zaharia, SIGIR 2020, arXiv 2004.12832, equation 3).

    A score is the sum over the query's tokens of the cosine to the nearest token of the document. Every different text of a
    batch is read once, when it is reranked; to search tokens that were read when an index was built, use
    retrieve.late_interaction. A query or a document without a token scores 0.

    Args:
        model: a packaged name, a folder, or a hub id: a multi-vector model, or any plain sentence encoder, whose last layer
            then gives the vectors.
        revision: commit, branch or tag of a hub model.
        dtype: data type of the weights: auto, float32 or bfloat16.
        language: of all texts, for a model with an adapter for each (XMOD), as its configuration spells it.
        depth: how many of a ranking's first hits are reranked; the others follow with falling scores. None: all.
    """

    def __init__(
        self,
        *,
        model: str = "all-minilm-l6-v2",
        revision: str | None = None,
        dtype: Requested = "auto",
        language: str | None = None,
        depth: int | None = 100,
    ) -> None:
        require_one_of("rerank.late_interaction", get_args(Requested), dtype=dtype)
        require_positive("rerank.late_interaction", depth=depth)
        self.depth = depth
        self._encoder = TokenEncoder(model=model, revision=revision, dtype=dtype, language=language)

    @property
    def model_names(self) -> tuple[tuple[str, str | None], ...]:
        """Its model and hub revision."""
        return ((self._encoder.model, self._encoder.revision),)

    def computes_in(self) -> str:
        """The data type that `auto` stands for here; empty while the model is not here."""
        here = locate(self._encoder.model, revision=self._encoder.revision)
        return "" if here is None else str(self._encoder.describe()["dtype"])

    def rerank(self, rankings: Sequence[Ranking], *, k: int) -> list[Ranking]:
        """Documents by late interaction, at most `k`, best first."""
        require_k(k, by="rerank.late_interaction")
        works = [Work.of(ranking, self.depth) for ranking in rankings]
        started = perf_counter()
        queries = self._encoder.encode([work.ranking.query.text for work in works], role="query")
        texts = list(dict.fromkeys(document.full_text for work in works for document in work.documents))
        read = self._encoder.encode(texts, role="document")
        places = {text: place for place, text in enumerate(texts)}
        scores = [
            [max_sim(queries.row(number), read.row(places[document.full_text])) for document in work.documents]
            for number, work in enumerate(works)
        ]
        for work in works:
            work.usage += Usage(seconds=(perf_counter() - started) / len(works))
        return [work.by_score(scored, k=k) for work, scored in zip(works, scores, strict=True)]

    def warm_up(self) -> None:
        """Load now instead of at the first call."""
        self._encoder.encode(["warm"], role="query")

    def memory(self) -> list[Need]:
        """Weights, and batches of the model.

        Raises:
            MissingModel: the model is not here yet.
        """
        return self._encoder.memory()

    def release(self) -> None:
        """Let go of the weights; the next call loads them again."""
        self._encoder.release()
