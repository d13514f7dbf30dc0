"""The queue: two lanes, one owner, batches by measured time."""
