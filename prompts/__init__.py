"""Prompts are files: declared variables, strict rendering, and a hash that says which words were used."""

from prompts.instructions import Instructions, load_instructions
from prompts.shots import Shots, load_shots, with_shots
from prompts.template import PromptTemplate, available, load

__all__ = [
    "Instructions",
    "PromptTemplate",
    "Shots",
    "available",
    "load",
    "load_instructions",
    "load_shots",
    "with_shots",
]
