"""The lab: says where a run loses, and what would gain. Its commands are those of `rag lab`."""
