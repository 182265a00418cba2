"""When an answer may be given at a stated risk: bounds, signals of an answer, and the file that joins them."""
