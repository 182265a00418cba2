"""The dense leg: one vector of every text."""
