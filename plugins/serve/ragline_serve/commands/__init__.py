"""Commands of `rag` that this plug-in adds."""
