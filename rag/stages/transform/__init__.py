"""Documents -> documents, before they are indexed."""
