"""The API of the operator: pydantic models, one source for the parser, the CRDs and the documentation."""
