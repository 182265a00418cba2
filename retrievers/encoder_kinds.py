"""Moved for one release: kinds of model folders are in `retrievers.encoders.kinds`."""

raise ImportError("retrievers.encoder_kinds is retrievers.encoders.kinds now")
