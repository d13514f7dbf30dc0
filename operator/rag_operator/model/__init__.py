"""Frozen values that the pure packages share: what was recorded, what was observed, what is planned."""
