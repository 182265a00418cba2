"""In-context reranking: all candidates in one prompt."""
