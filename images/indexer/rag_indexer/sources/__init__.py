"""Where documents come from: one port, four kinds. `opening.open_source` makes one from a source of the API."""
