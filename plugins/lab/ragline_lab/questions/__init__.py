"""Test sets of one's own corpus, for people without judgements: `rag lab questions`."""
