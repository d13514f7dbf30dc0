"""The agreements between the operator and the images: no I/O, no heavy imports, safe to import anywhere."""
