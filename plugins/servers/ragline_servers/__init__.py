"""Indexes on servers: collections of Milvus and Qdrant that any number of readers search."""
