"""Models taught on a corpus of one's own. `training.train` is the door; a recipe is a file in `recipes`."""
