"""`make demo`: the main job end to end on a real cluster, with real documents, as a story that prints what it does."""
