"""Where the gold was lost: the way of every relevant document through a run, and what became of it."""
