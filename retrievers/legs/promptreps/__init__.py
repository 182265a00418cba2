"""The promptreps leg: a chat model's own vector and weighted words of every text."""
