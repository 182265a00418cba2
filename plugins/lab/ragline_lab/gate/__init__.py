"""Checks of measures that a build has to pass: `rag lab gate`."""
