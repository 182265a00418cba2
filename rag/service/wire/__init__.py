"""What goes over the wire, as pydantic models: requests are checked against them, the OpenAPI is made from them."""
