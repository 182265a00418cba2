"""A reranker behind a server: the form of Cohere and Jina, or that of text-embeddings-inference."""

from __future__ import annotations

import math
from collections.abc import Sequence
from time import perf_counter
from typing import Any, Literal, get_args

from generators.llm.server_client import NotFound, ServerClient
from generators.llm.server_replies import Malformed
from rag.core.arguments import require_positive
from rag.core.errors import SpecError
from rag.core.ranking import require_k
from rag.core.side_by_side import side_by_side
from rag.core.types import Ranking, Usage
from rerankers.work import Work, warn

Api = Literal["cohere", "tei"]
_BY = "rerank.server"


class ServerReranker:
    """Documents by the scores that a server gives them, as `rag serve`, vLLM, Infinity, Cohere and Jina do.

    What the server leaves out follows what it scored, in the order it had. A reply that cannot be read keeps the order of
    the input and is counted. Rankings of a batch are asked side by side.

    Args:
        url: where the server's /v1 begins, or the server itself.
        model: its name at the server; unset where the server has one.
        api: cohere sends `documents` to `/rerank` and reads `results`; tei sends `texts` and reads a list.
        api_key_variable: environment variable that holds the key; unset sends none. The operator says which servers may
            have it, in RAGLINE_API_KEYS.
        depth: how many of a ranking's first hits are reranked; the others follow with falling scores. None: all.
        timeout_s: longest silence of the server, in seconds.
        retries: further attempts after 408, 429, 5xx or a broken connection.
        max_in_flight: most requests at a time.
    """

    def __init__(
        self,
        *,
        url: str,
        model: str | None = None,
        api: Api = "cohere",
        api_key_variable: str | None = None,
        depth: int | None = None,
        timeout_s: float = 60.0,
        retries: int = 4,
        max_in_flight: int = 8,
    ) -> None:
        if not url.startswith(("http://", "https://")):
            raise ValueError(f"{_BY}: url must begin with http:// or https://, got {url!r}")
        if api not in get_args(Api):
            raise ValueError(f"{_BY}: api must be cohere or tei, got {api!r}")
        if not 0 < timeout_s < math.inf:
            raise ValueError(f"{_BY}: timeout_s must be above 0, got {timeout_s}")
        if retries < 0:
            raise ValueError(f"{_BY}: retries must be 0 or above, got {retries}")
        require_positive(_BY, depth=depth, max_in_flight=max_in_flight)
        self.url, self.model, self.api, self.depth = url, model, api, depth
        self._at_once = max_in_flight
        self._client = ServerClient(
            url,
            by=_BY,
            api_key_variable=api_key_variable,
            timeout_s=timeout_s,
            retries=retries,
            max_in_flight=max_in_flight,
        )

    def rerank(self, rankings: Sequence[Ranking], *, k: int) -> list[Ranking]:
        """The server's order, at most `k`. Scores are the server's.

        Raises:
            MissingModel: no server answers.
            SpecError: it has no such path or model, or wants another key.
        """
        require_k(k, by=_BY)
        works = [Work.of(ranking, self.depth) for ranking in rankings]
        reranked = side_by_side(lambda work: self._ordered(work, k), works, threads=self._at_once)
        warn(works, by=_BY)
        return reranked

    def release(self) -> None:
        """Let go of the connections."""
        self._client.close()

    def _ordered(self, work: Work, k: int) -> Ranking:
        if not work.documents:
            return work.in_order([], k=k)
        started = perf_counter()
        try:
            scores = _scores(self._asked(work), len(work.documents))
        except Malformed as error:
            scores, bad = None, str(error)
        else:
            bad = "no list of indexes and scores"
        work.usage += Usage(calls=1, seconds=perf_counter() - started)
        if not scores:
            work.note("fallback", bad=bad)
            return work.in_order(range(len(work.documents)), k=k)
        missing = len(work.documents) - len(scores)
        work.note("repaired" if missing else "ok", missing=missing)
        below = min(scores.values())
        return work.by_score([scores.get(item, below - 1 - item) for item in range(len(work.documents))], k=k)

    def _asked(self, work: Work) -> Any:
        texts = [document.full_text for document in work.documents]
        query = work.ranking.query.text
        body: dict[str, Any] = {"model": self.model} if self.model else {}
        if self.api == "tei":
            body |= {"query": query, "texts": texts}
        else:
            body |= {"query": query, "documents": texts, "top_n": len(texts)}
        try:
            return self._client.post("/rerank", body, from_root=self.api == "tei")
        except NotFound as missing:
            raise SpecError(f"{_BY}: {self.url} has no /rerank or no model '{self.model or ''}' ({missing})") from None


def _scores(reply: Any, n: int) -> dict[int, float] | None:
    """Place of a document -> its score; None where the reply is of another form. What names no document is left out."""
    results = reply.get("results") if isinstance(reply, dict) else reply
    if not isinstance(results, list):
        return None
    scores: dict[int, float] = {}
    for each in results:
        place = each.get("index") if isinstance(each, dict) else None
        score: Any = each.get("relevance_score", each.get("score")) if isinstance(each, dict) else None
        number = isinstance(score, int | float) and not isinstance(score, bool)
        if type(place) is int and 0 <= place < n and number and math.isfinite(score):
            scores.setdefault(place, float(score))
    return scores
