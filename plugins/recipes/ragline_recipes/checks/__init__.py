"""Sentences of an answer held against passages by an encoder, a language model, or a classifier for inference."""
