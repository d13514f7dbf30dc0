"""Keeps the indexes of a pipeline equal to its sources: build, sync, copy, check, drop; and compares two revisions (evaluate)."""
