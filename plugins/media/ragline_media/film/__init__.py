"""Film: one picture of each scene."""
