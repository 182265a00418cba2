"""Which heads of a model are read, and how much each counts."""
