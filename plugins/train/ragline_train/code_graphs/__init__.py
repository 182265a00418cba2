"""GNN-Coder: a graph network over the syntax tree of code, beside what an encoder makes of its text.

After Ye et al. (2025, arXiv 2502.15202), whose constants are from a second implementation: `trees` makes graphs, `network` reads
them, `teaching` teaches it, and `encoder` is a folder that an index names.
"""
