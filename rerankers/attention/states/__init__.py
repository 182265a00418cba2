"""What a model made of documents, kept between queries."""
