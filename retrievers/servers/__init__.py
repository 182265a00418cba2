"""Indexes on servers: collections that any number of readers search. Their table is `retrievers.index.STORES`."""
