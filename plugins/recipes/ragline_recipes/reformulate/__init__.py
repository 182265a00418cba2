"""Query -> queries: what is asked, in words that find more."""
