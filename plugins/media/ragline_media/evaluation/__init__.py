"""Measures of media that are found, and published sets that are read: no weights, and no data of theirs."""
