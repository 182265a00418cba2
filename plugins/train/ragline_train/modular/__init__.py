"""Modules of an encoder: what a language and what ranking taught it, each apart, put together when a text is read.

After Litschko et al. (COLING 2022, arXiv 2204.02292). A module is a sparse difference of weights (`differences`) or `adapters`;
`lessons` are what teaches either, `teaching` does it, and `encoder` is a folder that a graph names.
"""
