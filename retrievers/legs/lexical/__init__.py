"""The lexical leg: BM25 over postings."""
