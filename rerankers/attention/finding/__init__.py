"""Finds head sets on cases. Nothing that serves a query imports it."""
