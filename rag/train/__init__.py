"""What teaches: examples for finding heads, from judgements, from questions that were asked, or from the corpus alone."""
