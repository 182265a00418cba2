"""The late interaction leg: a vector for every token of every text."""
