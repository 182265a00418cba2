"""Ways to find media that need no training: what is asked, and what is found, is looked at once more."""
