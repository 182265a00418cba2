"""Encoders: model folders that turn texts into one vector each, or one for every token."""
