"""Is a run still what its graph gives? Some of its queries are asked again: `rag lab verify`."""
