"""The HTTP mechanism: parameters, bodies, operations, the OpenAPI document."""
