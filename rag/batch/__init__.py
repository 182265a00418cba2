"""Files of questions through a graph, durably: `rag batch` (docs/decisions/0003-batch.md)."""
