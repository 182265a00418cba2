"""Notes and an index of them, a cache of the test's own, and one thread for models this small."""

from tests.rag.cli.conftest import _own_cache, lexical_index, notes
from tests.rerankers.attention.conftest import _one_thread

__all__ = ["_one_thread", "_own_cache", "lexical_index", "notes"]
