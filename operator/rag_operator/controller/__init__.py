"""The level-based controller: a queue of pipelines, and the one pass that brings each to its spec."""
