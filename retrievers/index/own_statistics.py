"""May the legs of an index score for whoever asks as if there were nothing but what they may read?"""

from __future__ import annotations

from collections.abc import Sequence

from rag.core.errors import IndexProblem
from retrievers.index.settings import IndexSettings
from retrievers.legs.protocol import KeepsApart


def require_apart(settings: IndexSettings, legs: Sequence[str], *, name: str) -> None:
    """Return if they may, or if nobody asks for that (`reading.own_statistics`).

    Raises:
        IndexProblem: documents carry no labels, or a leg depends on all documents; says which, and why.
    """
    if not settings.reading.own_statistics:
        return
    reasons = {leg: _why_together(leg, settings) for leg in legs}
    problems = [f"a {leg} leg cannot: {reason}" for leg, reason in reasons.items() if reason]
    if settings.reading.access is None:
        problems.insert(0, "no document says who may read it: give --labels, or the key of their metadata (access)")
    if problems:
        raise IndexProblem(
            f"index '{name}': reading.own_statistics scores for whoever asks by what they may read alone; "
            f"{'; '.join(problems)}. Or leave own_statistics out, and build an index for each tenant"
        )


def _why_together(leg: str, settings: IndexSettings) -> str:
    kind = settings.kind(leg)
    return kind.why_together(settings) if isinstance(kind, KeepsApart) else "it is made of all documents together"
