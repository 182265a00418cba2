"""Answers judged by a model, beside how often that model is right: `rag lab judge`."""
