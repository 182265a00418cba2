"""Heads of a model that are read, and how much each counts."""
