"""Engines: from token ids to pooled vectors. `select` picks the one for a model and a machine."""
