"""A decoder read for its attention: prompts, blocks, rows, scores."""
