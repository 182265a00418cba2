"""Readers of files that hold no text."""
