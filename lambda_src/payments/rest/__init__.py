"""What the REST API does: one function an operation of api/openapi.yaml, on ports alone."""
