"""Tables of others: names of classes that a network tells apart."""
