"""What goes over the wire, as pydantic models: requests are checked against them, the OpenAPI is made from them.

A form that one endpoint alone has stands beside it, in `ragline_serve.http`.
"""
