"""Checks: Answer -> the same answer after a look at it. The table is in `rag.stages`."""
