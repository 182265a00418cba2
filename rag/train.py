"""Moved for one release: what teaches and calibrates is in the plug-in `ragline-train`."""

raise ImportError("rag.train is ragline_train now: pip install ./plugins/train from a checkout")
