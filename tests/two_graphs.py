"""Models for graphs that are too large for a machine."""

from __future__ import annotations

from generators.llm.scripted import ScriptedLLM
from rag.core.memory import GIB, Need
from rag.core.optional import need


class Hungry(ScriptedLLM):
    """Says that it takes 7 GiB.

    Args:
        replies: what it says.
    """

    def __init__(self, *, replies: tuple[str, ...] = ("",)) -> None:
        super().__init__(replies=replies)

    def memory(self) -> list[Need]:
        return [Need(what="weights", n_bytes=7 * GIB)]


class Missing(ScriptedLLM):
    """Needs a package that is nowhere.

    Args:
        replies: what it says.
    """

    def __init__(self, *, replies: tuple[str, ...] = ("",)) -> None:
        need("no_such_package", by="llm.test_missing")
        super().__init__(replies=replies)
