"""Rankings as tables of pandas."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from rag.core.optional import need

if TYPE_CHECKING:
    import pandas as pd

    from rag.core.shown import Hit

COLUMNS = ("qid", "rank", "doc_id", "score", "relevance", "title", "text", "metadata")


def frame_of(qid: str, hits: Sequence[Hit]) -> pd.DataFrame:
    """A row for each hit of a query, in rank order.

    Raises:
        MissingDependency: pandas is not installed.
    """
    need("pandas", by="to_pandas", line="pip install pandas")
    import pandas as pd

    rows = [
        (qid, rank, hit.doc_id, hit.score, hit.relevance, hit.title, hit.text, dict(hit.metadata))
        for rank, hit in enumerate(hits, start=1)
    ]
    return pd.DataFrame(rows, columns=list(COLUMNS))
