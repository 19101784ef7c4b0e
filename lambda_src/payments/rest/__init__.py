"""The REST API: one function for each operation of api/openapi.yaml, using ports only."""
