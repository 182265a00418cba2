"""Prompts are files: declared variables, strict rendering, and a hash that says which words were used."""

from prompts.instructions import Instructions, load_instructions
from prompts.template import PromptTemplate, available, load

__all__ = ["Instructions", "PromptTemplate", "available", "load", "load_instructions"]
