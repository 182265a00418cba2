"""The sparse leg: a masked language model's weighted terms of every text."""
