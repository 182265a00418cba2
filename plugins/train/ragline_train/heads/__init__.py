"""Finds head sets of attention rerankers on cases: `rag heads find`."""
