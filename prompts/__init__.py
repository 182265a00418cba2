"""Prompts are files: declared variables, strict rendering, and a hash that says which words were used."""

from prompts.template import PromptTemplate, available, load

__all__ = ["PromptTemplate", "available", "load"]
