"""Relevance read from a decoder's attention: the parts that every attention reranker shares.

    prompt.py   texts -> token ids of a shared prefix and of the suffixes, with exact spans
    listing.py  a query's candidates as ids, and how many fit into one prompt
    heads.py    which (layer, head) pairs are read, and which layers have no full rows
    capture.py  two passes through an unchanged model: documents once, then all suffixes in one batch
    rows.py     softmax rows of the suffix positions, the arithmetic alone
    score.py    attention per token -> calibrated score per document
    windows.py  the order of documents when they do not fit into one prompt

Documents as blocks (`reranker.py`):

    blocks.py   documents and queries through the model, each alone; match.py, what the one pays to the other
    reader.py   texts in, head scores out; query_view.py, the same for one query less its nulls,
                and by token
    prior.py    what is taken off a document whatever is asked
    states.py   what is kept of documents; state_*.py, how it lies in memory and on disk
    weigh.py    head scores -> one score per document

Which heads: head_sets.py (files of them), choosing.py (what a reranker is told), every_head.py (what all
heads of a model pay, for whoever finds the good ones: the plug-in `ragline-train` does).

`capture` and `rows` import torch, so they are imported when a model is first read; the others need numpy at
most.
"""
