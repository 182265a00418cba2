"""The part of the page that shows what was read from a question."""
