"""Pictures in an index: read, kept, found by words, and shown."""
