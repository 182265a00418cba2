"""States of documents, as a model read them, kept between queries."""
