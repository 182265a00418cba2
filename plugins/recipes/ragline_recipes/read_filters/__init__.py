"""Filters that a question's own words ask for: years, authors, sources and types, by rules or by a model held to a form."""
