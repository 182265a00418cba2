"""Sound: what is said in it, and when."""
