"""Texts of an index encoded on a Ray cluster: the actor that has a model, the pool of them, and the build's view of it."""
