"""A pipeline as servers use it: awaited, gathered, bounded, behind walls. `rag serve` and `rag mcp` stand on it."""
