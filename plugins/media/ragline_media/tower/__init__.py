"""Networks that see, and the space in which words find what they see."""
