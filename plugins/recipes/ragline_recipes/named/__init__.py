"""The leg `named`: a vector of each name that stands in the texts of an index."""
