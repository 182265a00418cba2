"""Many settings of one graph as one run: `rag lab sweep`."""
