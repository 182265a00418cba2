"""The leg `pictures`: a vector of each picture of an index, in the space of its texts."""
