"""Generators: Context -> Answer. The table of all of them; language models are in `generators.llm`."""

from rag.core.registry import Registry

GENERATORS = Registry(
    "generate",
    {
        "cited": "generators.cited:CitedGenerator",
        "closed_book": "generators.closed_book:ClosedBookGenerator",
        "tally": "generators.tally:TallyGenerator",
    },
)
