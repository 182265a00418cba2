"""Pages of PDF files as pictures, with the words of a passage marked."""
