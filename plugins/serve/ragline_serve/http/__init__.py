"""The endpoints of `rag serve`, and its page."""
