"""A graph as tools of the Model Context Protocol: search, answer, get_document. Needs the extra `serve`."""
