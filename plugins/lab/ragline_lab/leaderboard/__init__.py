"""Sets by systems on one page: which runs there are, what they are worth, and the page that shows it."""
